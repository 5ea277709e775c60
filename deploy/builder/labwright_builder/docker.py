"""Builds with the Docker-compatible engine of the node, over its socket."""

import os
import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .dockerfile import registry_of
from .engine import LabwrightEngine, Lines, context_of
from .failures import Failure, base_failure, push_failure, shortened, step_failure
from .output import stream

_STEP = re.compile(r"^(?:Step|STEP) (\d+/\d+) ?: (.*)")
_BUILDKIT_STEP = re.compile(r"^#\d+ \[(?:[\w.-]+ )?\s*(\d+/\d+)\] (.*)")
_FROM_STEP = re.compile(r"^\S+ FROM (\S+)")
_FAILED_BASE = re.compile(r"failed to resolve source metadata for (\S+):")
_EXIT_CODE = re.compile(r"non-zero code: (\d+)|exit code: (\d+)|exit status (\d+)")


class DockerEngine(LabwrightEngine):
    """The Docker CLI, with BuildKit where the CLI has buildx, and with what every such engine has where it has not.

    repo2docker's own engine cannot do without buildx, and so not with the socket of Podman.
    """

    def build(
        self,
        *,
        push: bool = False,
        buildargs: Mapping[str, str] | None = None,
        cache_from: Sequence[str] | None = None,
        tag: str = "",
        dockerfile: str = "",
        fileobj: IO[bytes] | None = None,
        path: str = "",
        labels: Mapping[str, str] | None = None,
        platform: str | None = None,
        **_: Any,
    ) -> Lines:
        """Build an image and push it; yields the lines of the build's log."""
        env = {**os.environ, "DOCKER_BUILDKIT": "1" if _has_buildx() else "0", "BUILDKIT_PROGRESS": "plain"}
        with context_of(fileobj, path) as context:
            program = [
                "docker",
                "build",
                f"--file={Path(context, dockerfile or 'Dockerfile')}",
                f"--tag={tag}",
                *[f"--build-arg={key}={value}" for key, value in (buildargs or {}).items()],
                *[f"--label={key}={value}" for key, value in (labels or {}).items()],
                *[f"--cache-from={image}" for image in cache_from or []],
                *([] if platform is None else [f"--platform={platform}"]),
                context,
            ]
            yield from self._build(program, env)
        if push:
            self.say(f"Pushing {tag}\n", "pushing")
            code, output = self.push_lines(["docker", "push", tag], env)
            if code != 0:
                self.fail(push_failure(code, output, registry_of(tag)))

    def _build(self, program: Sequence[str], env: Mapping[str, str]) -> Lines:
        lines = stream(program, env)
        step = ""
        last: list[str] = []
        while True:
            try:
                line = next(lines)
            except StopIteration as end:
                if end.value != 0:
                    self.fail(_failure(int(end.value), step, "".join(last)))
                return
            if (found := _STEP.match(line) or _BUILDKIT_STEP.match(line)) is not None:
                step = f"{found[1]}: {shortened(found[2])}"
            last = [*last[-9:], line]
            yield line


def _has_buildx() -> bool:
    return subprocess.run(["docker", "buildx", "version"], capture_output=True, check=False).returncode == 0  # noqa: S607


def _failure(code: int, step: str, output: str) -> Failure:
    if "Cannot connect to the Docker daemon" in output or "permission denied while trying to connect" in output:
        return Failure("BuildFailed", "The engine of the node cannot be reached.")
    if (found := _EXIT_CODE.search(output)) is not None and step:
        return step_failure(step, found[1] or found[2] or found[3], output)
    if (base := _FROM_STEP.search(step) or _FAILED_BASE.search(output)) is not None:
        return base_failure(base[1], output, registry_of(base[1]))
    return Failure("BuildFailed", f"Step {step} failed." if step else f"The build failed with exit code {code}.")
