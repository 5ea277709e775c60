"""Which images a Dockerfile begins with."""

import re
from collections.abc import Iterable, Mapping

_FROM = re.compile(r"^\s*FROM\s+(?:--\S+\s+)*(\S+)(?:\s+AS\s+(\S+))?\s*$", re.IGNORECASE)
_ARG = re.compile(r"^\s*ARG\s+(.+?)\s*$", re.IGNORECASE)
_VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)(?::-([^}]*))?\})")


def base_images(dockerfile: str, arguments: Mapping[str, str]) -> list[str]:
    """The images after FROM, without stages of the Dockerfile itself and `scratch`, each once.

    Only an ARG before the first FROM counts there. What cannot be resolved is left out: buildah will say so.
    """
    known: dict[str, str] = {}
    stages: set[str] = set()
    images: list[str] = []
    begun = False
    for line in _logical_lines(dockerfile):
        if (found := _FROM.match(line)) is not None:
            begun = True
            image, stage = _filled(found[1], known), found[2]
            if image and "$" not in image and image not in {"scratch", *stages, *images}:
                images.append(image)
            if stage is not None:
                stages.add(stage)
        elif not begun and (found := _ARG.match(line)) is not None:
            known.update(_declared(found[1], known, arguments))
    return images


def registry_of(image: str) -> str:
    """The registry an image is on, as the keys of a config.json name it."""
    first, slash, _ = image.partition("/")
    return first if slash and ("." in first or ":" in first or first == "localhost") else "docker.io"


def _logical_lines(text: str) -> Iterable[str]:
    joined = ""
    for line in text.splitlines():
        if line.lstrip().startswith("#"):
            continue
        if line.rstrip().endswith("\\"):
            joined += line.rstrip()[:-1] + " "
        else:
            yield joined + line
            joined = ""


def _declared(text: str, known: Mapping[str, str], arguments: Mapping[str, str]) -> Iterable[tuple[str, str]]:
    for word in text.split():
        name, given, value = word.partition("=")
        if name in arguments:
            yield name, arguments[name]
        elif given:
            yield name, _filled(value.strip("\"'"), known)


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2], found[3] or ""), text)
