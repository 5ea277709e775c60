"""What the engines have in common."""

import os
import re
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from repo2docker.engine import BuildError, ContainerEngine

from .output import stream

SECRETS = "/run/labwright/secrets"
_MOST_SHOWN = 200


class LabwrightEngine(ContainerEngine):
    """An engine that builds and pushes with a program, and says in one line why that has failed."""

    string_output = True

    def inspect_image(self, image: str) -> None:
        """Every build begins with nothing, so there is no image to be found."""

    @property
    def insecure(self) -> bool:
        """Whether the registry is reached over plain HTTP."""
        return os.environ.get("LABWRIGHT_REGISTRY_INSECURE") == "1"

    def say(self, text: str, phase: str) -> None:
        """Write a line of the log for one of repo2docker's phases."""
        self.log.info(text, extra={"phase": phase})

    def fail(self, text: str) -> NoReturn:
        """End the build, and say why: repo2docker itself is silent about a BuildError."""
        self.log.error(text, extra={"phase": "failed"})
        raise BuildError(text)

    def push_lines(self, program: Sequence[str], env: Mapping[str, str]) -> tuple[int, str]:
        """Run a program that pushes; its exit code and the last lines it wrote."""
        lines = stream(program, env)
        last: list[str] = []
        while True:
            try:
                line = next(lines)
            except StopIteration as end:
                return int(end.value), "".join(last)
            last = [*last[-9:], line]
            self.say(line, "pushing")


@contextmanager
def unpacked(context: IO[bytes]) -> Iterator[str]:
    """Directory with the build context that repo2docker has packed."""
    with tempfile.TemporaryDirectory(prefix="context-") as directory:
        with tarfile.open(fileobj=context) as archive:
            archive.extractall(directory, filter="tar")
        yield directory


@contextmanager
def context_of(fileobj: IO[bytes] | None, path: str) -> Iterator[str]:
    """Directory with the build context: packed by repo2docker, or the checked-out repository itself."""
    if fileobj is None:
        yield path
    else:
        with unpacked(fileobj) as directory:
            yield directory


def shortened(text: str) -> str:
    """One line for a message."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"


def step_failure(step: str, code: str) -> str:
    """Why a step has failed: the kernel ends what uses more memory than there is with SIGKILL."""
    if code == "137":
        return f"Step {step} was killed: most likely the build used more memory than it has (exit code 137)."
    return f"Step {step} failed with exit code {code}."


_REFUSED = re.compile(r"unauthorized|authentication required|denied|forbidden|\b40[13]\b", re.IGNORECASE)
_UNREACHABLE = re.compile(r"connection re(?:fused|set)|no such host|timeout|unreachable|\beof\b", re.IGNORECASE)
_FULL = re.compile(r"no space left", re.IGNORECASE)


def push_failure(code: int, output: str) -> str:
    """Why a push has failed, as far as the output tells."""
    if _REFUSED.search(output):
        return "The registry refuses the image: its credentials are missing, wrong, or without the right to push it."
    if _UNREACHABLE.search(output):
        return "The registry cannot be reached to push the image."
    if _FULL.search(output):
        return "There is no room left on the disk to push the image from."
    return f"Pushing the image failed with exit code {code}."


def read_digest(file: Path) -> str:
    """The digest that was pushed."""
    return file.read_text().strip() if file.exists() else ""


Lines = Generator[str, None, None]
