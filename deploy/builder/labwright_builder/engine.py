"""What the engines have in common."""

import os
import tarfile
import tempfile
from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO, NoReturn

from repo2docker.engine import ContainerEngine

from .failures import Failure, fail
from .output import stream

SECRETS = "/run/labwright/secrets"


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

    def fail(self, failure: Failure) -> NoReturn:
        """End the build, and say why."""
        fail(self.log, failure)

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


def read_digest(file: Path) -> str:
    """The digest that was pushed."""
    return file.read_text().strip() if file.exists() else ""


Lines = Generator[str, None, None]
