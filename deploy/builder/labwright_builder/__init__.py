"""Engines with which repo2docker builds images without a Docker daemon."""
