"""Builds with buildah in the builder's own container."""

import json
import os
import re
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

from traitlets import Bool, Enum

from .confine import command
from .dockerfile import base_images, registry_of
from .engine import SECRETS, LabwrightEngine, Lines, context_of, read_digest
from .failures import Failure, base_failure, cause_of, push_failure, shortened, step_failure, words_of
from .output import stream

# A volume that is no overlay itself, so that overlays can be made in it.
_STORAGE = "/var/lib/containers"
_STEP = re.compile(r"^(?:\[\d+/\d+\] )?STEP (\d+(?:/\d+)?): (.*)")
_FROM_STEP = re.compile(r"^\S+ FROM (\S+)")
_EXIT_CODE = re.compile(r"exit status (\d+)")
_LAST_LINES = 100
_SECRET_VARIABLES = ("REGISTRY_AUTH_FILE", "DOCKER_CONFIG", "GIT_CONFIG_GLOBAL", "GIT_SSH_COMMAND")


class BuildahEngine(LabwrightEngine):
    """buildah with isolation "chroot": no daemon, and nothing of the host.

    Base images for which there are credentials are pulled before the build, and the image is pushed after it. In
    between, while steps of the build run, there are no credentials to be seen.
    """

    format = Enum(
        ["docker", "oci"],
        default_value="docker",
        help="Format of images. `docker` keeps SHELL, ONBUILD and HEALTHCHECK, which `oci` does not know.",
    ).tag(config=True)
    layers = Bool(True, help="One layer for each step, as Docker has it.").tag(config=True)

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
        with tempfile.TemporaryDirectory(prefix="buildah-") as work, context_of(fileobj, path) as context:
            file = Path(context, dockerfile or "Dockerfile")
            env = {**_environment(), "CONTAINERS_REGISTRIES_CONF": self._write_registries(Path(work), tag)}
            yield from self._pull_bases(file, buildargs or {}, platform, env)
            program = [
                *_buildah("build"),
                "--isolation=chroot",
                f"--format={self.format}",
                f"--layers={str(self.layers).lower()}",
                "--pull=missing",
                f"--file={file}",
                f"--tag={tag}",
                *[f"--build-arg={key}={value}" for key, value in (buildargs or {}).items()],
                *[f"--label={key}={value}" for key, value in (labels or {}).items()],
                # It takes repositories and looks for tags of its own in them.
                *[f"--cache-from={_without_tag(image)}" for image in cache_from or []],
                *([] if platform is None else [f"--platform={platform}"]),
                context,
            ]
            yield from self._build(command(program, hidden=[SECRETS]), _without_secrets(env))
            if push:
                self._push(tag, Path(work), env)

    def _build(self, program: Sequence[str], env: Mapping[str, str]) -> Lines:
        lines = stream(program, env)
        step = ""
        last: list[str] = []
        while True:
            try:
                line = next(lines)
            except StopIteration as end:
                if end.value != 0:
                    self.fail(_build_failure(int(end.value), step, last))
                return
            if (found := _STEP.match(line)) is not None:
                step, last = f"{found[1]}: {shortened(found[2])}", []
            if line.strip():
                last = [*last[-_LAST_LINES:], line]
            yield line

    def _pull_bases(
        self, file: Path, arguments: Mapping[str, str], platform: str | None, env: Mapping[str, str]
    ) -> Lines:
        registries = _registries_with_credentials()
        text = file.read_text("utf-8", "replace") if registries and file.is_file() else ""
        for image in base_images(text, arguments):
            if registry_of(image) in registries:
                where = [] if platform is None else [f"--platform={platform}"]
                # What cannot be pulled is said once more, and better, by the build.
                yield from stream(command([*_buildah("pull"), "--quiet", *where, "--", image]), env)

    def _push(self, tag: str, work: Path, env: Mapping[str, str]) -> None:
        digest = work / "digest"
        self.say(f"Pushing {tag}\n", "pushing")
        program = [*_buildah("push"), f"--digestfile={digest}", "--", tag, f"docker://{tag}"]
        code, output = self.push_lines(command(program), env)
        if code != 0:
            self.fail(push_failure(code, output, registry_of(tag)))
        self.say(f"Pushed {tag} {read_digest(digest)}\n", "pushing")

    def _write_registries(self, work: Path, tag: str) -> str:
        """Which registries are reached how: HTTPS but for the one that was said to be insecure."""
        file = work / "registries.conf"
        text = 'unqualified-search-registries = ["docker.io"]\nshort-name-mode = "permissive"\n'
        if self.insecure:
            text += f"[[registry]]\nlocation = {json.dumps(registry_of(tag))}\ninsecure = true\n"
        file.write_text(text)
        return str(file)


def _buildah(verb: str) -> list[str]:
    # Its own choice of storage depends on whether it thinks that it is rootless.
    storage = [f"--root={_STORAGE}/storage", f"--runroot={_STORAGE}/run", "--storage-driver=overlay"]
    return ["buildah", *storage, verb]


def _environment() -> dict[str, str]:
    """The one of this process; buildah fails when it is pointed to credentials that are not there."""
    has_credentials = Path(os.environ.get("REGISTRY_AUTH_FILE", "")).is_file()
    return dict(os.environ) if has_credentials else _without_secrets(os.environ)


def _without_secrets(env: Mapping[str, str]) -> dict[str, str]:
    return {key: value for key, value in env.items() if key not in _SECRET_VARIABLES}


def _without_tag(image: str) -> str:
    name, _, _ = image.partition("@")
    head, colon, tail = name.rpartition(":")
    return head if colon and "/" not in tail else name


def _registries_with_credentials() -> set[str]:
    try:
        config = json.loads(Path(os.environ.get("REGISTRY_AUTH_FILE", "")).read_text())
        keys = [*config.get("auths", {}), *config.get("credHelpers", {})]
    except (OSError, ValueError, AttributeError):
        return set()
    hosts = {re.sub(r"^https?://", "", key).partition("/")[0] for key in keys}
    return hosts | ({"docker.io"} if hosts & {"index.docker.io", "registry-1.docker.io"} else set())


def _build_failure(code: int, step: str, said: Sequence[str]) -> Failure:
    output, last = "".join(said), said[-1] if said else ""
    found = _EXIT_CODE.search(last)
    if step == "":
        why = f"could not begin: {shortened(last)}" if last else f"failed with exit code {code}."
        return Failure("BuildFailed", f"The build {why}")
    if (base := _FROM_STEP.search(step)) is not None:
        return base_failure(base[1], last, registry_of(base[1]))
    if found is not None:
        return step_failure(step, found[1], output)
    if cause_of(words_of(last)) == "full":
        return Failure("NoSpace", f"Step {step} failed: there is no room left on the disk.")
    return Failure("BuildFailed", f"Step {step} failed.")
