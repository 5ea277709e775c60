import pytest

from labwright_builder.dockerfile import base_images, registry_of


@pytest.mark.parametrize(
    ("dockerfile", "images"),
    [
        ("FROM example.org/base:1\n", ["example.org/base:1"]),
        (
            "# FROM no\nfrom --platform=linux/amd64 \\\n  example.org/base:1 AS build\nFROM build\n",
            ["example.org/base:1"],
        ),
        ("ARG TAG=1\nARG BASE=example.org/base:${TAG}\nFROM $BASE\n", ["example.org/base:1"]),
        (
            "ARG TAG=1\nFROM example.org/base:$TAG\nARG TAG=3\nFROM example.org/other:$TAG",
            ["example.org/base:2", "example.org/other:2"],
        ),
        ("FROM ${NOBODY:-example.org/base}\nFROM scratch\nFROM example.org/base\n", ["example.org/base"]),
        ("FROM $NOBODY\nRUN echo FROM here\n", []),
        ("", []),
    ],
)
def test_finds_the_images_a_dockerfile_begins_with(dockerfile: str, images: list[str]) -> None:
    assert base_images(dockerfile, {"TAG": "2"} if "other" in dockerfile else {}) == images


@pytest.mark.parametrize(
    ("image", "registry"),
    [
        ("example.org/base", "example.org"),
        ("10.0.0.1:5000/base:1", "10.0.0.1:5000"),
        ("localhost/base", "localhost"),
        ("jupyter/base-notebook", "docker.io"),
        ("debian:13", "docker.io"),
    ],
)
def test_knows_the_registry_of_an_image(image: str, registry: str) -> None:
    assert registry_of(image) == registry
