"""Builds with a BuildKit daemon, elsewhere or beside the builder."""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from .dockerfile import registry_of
from .engine import LabwrightEngine, Lines, context_of
from .failures import Failure, base_failure, push_failure, shortened, step_failure
from .output import stream

_STEP = re.compile(r"^#\d+ \[(?:[\w.-]+ )?\s*(\d+/\d+)\] (.*)")
_PUSHING = re.compile(r"^#\d+ pushing (?:layers|manifest)")
_EXIT_CODE = re.compile(r"did not complete successfully: exit code: (\d+)")
_FAILED_BASE = re.compile(r"failed to resolve source metadata for (\S+):")
_FAILED_PUSH = re.compile(r"failed to (?:push|authorize|do request)|unexpected status from (?:PUT|POST|HEAD)")


class BuildkitEngine(LabwrightEngine):
    """buildctl: the daemon builds and pushes, with credentials that buildctl answers it for this one build."""

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
        with tempfile.TemporaryDirectory(prefix="buildkit-") as work, context_of(fileobj, path) as context:
            metadata = Path(work, "metadata.json")
            file = Path(context, dockerfile or "Dockerfile")
            program = [
                "buildctl",
                *_connection(),
                "build",
                "--progress=plain",
                "--frontend=dockerfile.v0",
                f"--local=context={context}",
                f"--local=dockerfile={file.parent}",
                f"--opt=filename={file.name}",
                *[f"--opt=build-arg:{key}={value}" for key, value in (buildargs or {}).items()],
                *[f"--opt=label:{key}={value}" for key, value in (labels or {}).items()],
                *([] if platform is None else [f"--opt=platform={platform}"]),
                *self._caches(cache_from or []),
                f"--output={_csv('type=image', f'name={tag}', *self._pushing(push))}",
                f"--metadata-file={metadata}",
            ]
            yield from self._run(program)
            if push:
                self.say(f"Pushed {tag} {_digest(metadata)}\n", "pushing")

    def _run(self, program: Sequence[str]) -> Lines:
        lines = stream(program, os.environ)
        step, pushing = "", False
        last: list[str] = []
        while True:
            try:
                line = next(lines)
            except StopIteration as end:
                if end.value != 0:
                    self.fail(_failure(int(end.value), step, "".join(last), pushing=pushing))
                return
            if (found := _STEP.match(line)) is not None:
                step = f"{found[1]}: {shortened(found[2])}"
            last = [*last[-19:], line]
            if not pushing and _PUSHING.match(line) is not None:
                pushing = True
            if pushing:
                self.say(line, "pushing")
            else:
                yield line

    def _pushing(self, push: bool) -> list[str]:
        if not push:
            return []
        return ["push=true", *(["registry.insecure=true"] if self.insecure else [])]

    def _caches(self, images: Sequence[str]) -> list[str]:
        """Layers of earlier builds: to be read from images, read from and written to a repository for them."""
        insecure = ["registry.insecure=true"] if self.insecure else []
        arguments = [f"--import-cache={_csv('type=registry', f'ref={image}', *insecure)}" for image in images]
        if repository := os.environ.get("LABWRIGHT_BUILDKIT_CACHE"):
            reference = ["type=registry", f"ref={repository}:{_cache_tag()}", *insecure]
            arguments.append(f"--import-cache={_csv(*reference)}")
            # A cache that cannot be written costs the next build time, and this one nothing.
            arguments.append(f"--export-cache={_csv(*reference, 'mode=max', 'ignore-error=true')}")
        return arguments


def _cache_tag() -> str:
    """One tag for each name of an image, so that builds of one repository share layers."""
    name = os.environ.get("LABWRIGHT_IMAGE", "").partition("@")[0]
    head, colon, tail = name.rpartition(":")
    repository = head if colon and "/" not in tail else name
    return re.sub(r"[^A-Za-z0-9_.-]", "-", repository.partition("/")[2])[-128:].lstrip("-.") or "cache"


def _connection() -> list[str]:
    directory = os.environ.get("LABWRIGHT_BUILDKIT_TLS")
    if not directory:
        return []
    return [f"--tlscacert={directory}/ca.pem", f"--tlscert={directory}/cert.pem", f"--tlskey={directory}/key.pem"]


def _csv(*fields: str) -> str:
    """Fields as buildctl splits them: with a comma in it, a field is quoted."""
    quoted = (f'"{field.replace(chr(34), chr(34) * 2)}"' if re.search(r'[",]', field) else field for field in fields)
    return ",".join(quoted)


def _digest(metadata: Path) -> str:
    try:
        return str(json.loads(metadata.read_text())["containerimage.digest"])
    except (OSError, ValueError, KeyError):
        return ""


def _failure(code: int, step: str, output: str, *, pushing: bool) -> Failure:
    if (found := _EXIT_CODE.search(output)) is not None:
        return step_failure(step or "of the build", found[1], output)
    if (found := _FAILED_BASE.search(output)) is not None:
        return base_failure(found[1], output, registry_of(found[1]))
    if pushing or _FAILED_PUSH.search(output) is not None:
        return push_failure(code, output, registry_of(os.environ.get("LABWRIGHT_IMAGE", "")))
    if "connection refused" in output or "context deadline exceeded" in output or "certificate" in output:
        return Failure("BuildFailed", "The BuildKit daemon cannot be reached.")
    return Failure("BuildFailed", f"Step {step} failed." if step else f"The build failed with exit code {code}.")
