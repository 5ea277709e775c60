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


# What is around the words that say why, outermost first: which program did what with which image.
_AROUND = re.compile(
    r'^\s*(?:(?:error|ERROR|Error)(?: response from daemon)?: |pushing image "[^"]*" to "[^"]*": |writing \w+: |'
    r"trying to reuse blob \S+ at destination: |creating build container: |initializing source \S+: |"
    r"failed to solve: |failed to resolve source metadata for \S+: )+"
)
_SAYS_WHY = re.compile(r"\berror\b|denied|fail|no space left|refused|certificate", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s]+@")
_NAMES = re.compile(r'"[^"\s]*"|\S*/\S*|sha256:[0-9a-f]+')

_CAUSES = [
    (re.compile(r"toomanyrequests|too many requests|\b429\b|rate limit", re.IGNORECASE), "asks for fewer requests"),
    (
        re.compile(r"x509|certificate|tls:|HTTP response to HTTPS", re.IGNORECASE),
        "has a certificate that is not trusted",
    ),
    (re.compile(r"no space left|quota exceeded", re.IGNORECASE), "full"),
    (re.compile(r"name.?unknown|repository .*not found", re.IGNORECASE), "has no such repository"),
    (re.compile(r"\b413\b|entity too large|too large|size.?invalid", re.IGNORECASE), "takes no layer of this size"),
    (re.compile(r"unauthorized|authentication required|denied|forbidden|\b40[13]\b", re.IGNORECASE), "refused"),
    (re.compile(r"manifest.?unknown|not found|\b404\b", re.IGNORECASE), "does not have it"),
    (
        re.compile(r"connection re(?:fused|set)|no such host|timeout|unreachable|\beof\b|\b50\d\b", re.IGNORECASE),
        "unreachable",
    ),
]
_PUSH = {
    "refused": "The registry refuses the image: its credentials are missing, wrong, or without the right to push it.",
    "unreachable": "The registry cannot be reached to push the image.",
    "full": "There is no room left on the disk to push the image from.",
    "has no such repository": "The registry has no such repository, and makes none by itself.",
    "takes no layer of this size": "The registry, or a proxy in front of it, takes no layer of this size.",
}
_PULL = {
    "refused": "its registry refuses it",
    "unreachable": "its registry cannot be reached",
    "full": "there is no room left on the disk",
    "does not have it": "its registry does not have it",
    "has no such repository": "its registry does not have it",
}


def words_of(output: str) -> str:
    """The words with which a program says why it has failed, for one line: without names of programs, and secrets."""
    lines = [line for line in output.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if _SAYS_WHY.search(line)), lines[-1] if lines else "")
    words = " ".join(_CREDENTIALS.sub("", _AROUND.sub("", last)).split())
    return words if len(words) <= _MOST_SHOWN else f"…{words[-_MOST_SHOWN + 1 :]}"


def cause_of(words: str) -> str:
    """What kind of failure the words tell of; names in them tell nothing. Empty if unknown."""
    plain = _NAMES.sub("", words)
    return next((cause for pattern, cause in _CAUSES if pattern.search(plain)), "")


def push_failure(code: int, output: str) -> str:
    """Why a push has failed, as far as the output tells, with the words of the registry."""
    words = words_of(output)
    cause = cause_of(words)
    known = _PUSH.get(cause, f"The registry {cause}." if cause.startswith(("has", "asks", "does")) else "")
    sentence = known or f"Pushing the image failed with exit code {code}."
    return f"{sentence} It said: {words}" if words else sentence


def base_failure(image: str, output: str) -> str:
    """Why an image that a build begins with cannot be fetched, as far as the output tells."""
    words = words_of(output)
    cause = cause_of(words)
    why = _PULL.get(cause, f"its registry {cause}" if cause.startswith(("has", "asks", "takes")) else "")
    sentence = f"The base image {image} cannot be fetched"
    sentence = f"{sentence}: {why}." if why else f"{sentence}."
    return f"{sentence} It said: {words}" if words else sentence


def read_digest(file: Path) -> str:
    """The digest that was pushed."""
    return file.read_text().strip() if file.exists() else ""


Lines = Generator[str, None, None]
