"""JupyterHub's servers, run by Labwright."""

from .spawner import LabwrightSpawner

__all__ = ["LabwrightSpawner"]
