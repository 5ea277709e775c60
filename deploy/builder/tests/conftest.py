"""Programs that stand for buildah, buildctl and docker: they write down their arguments and do as the test says."""

import json
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from traitlets.config import LoggingConfigurable

_PROGRAM = """#!/usr/bin/env python3
import json, os, sys
folder = os.path.dirname(os.path.abspath(__file__))
with open(f"{folder}/calls", "a") as file:
    print(json.dumps({"argv": sys.argv, "env": dict(os.environ)}), file=file)
for verb, output, code in json.load(open(f"{folder}/script")):
    if verb in sys.argv:
        sys.stdout.buffer.write(output.encode("latin-1"))
        digest = [word for word in sys.argv if word.startswith("--digestfile=")]
        if digest and code == 0:
            open(digest[0].partition("=")[2], "w").write("sha256:" + "0" * 64)
        sys.exit(code)
"""


class Programs:
    def __init__(self, folder: Path) -> None:
        self.folder = folder
        for name in ("buildah", "buildctl", "docker"):
            (folder / name).write_text(_PROGRAM)
            (folder / name).chmod(0o755)
        self.play()

    def play(self, *script: tuple[str, str, int]) -> None:
        """What to write and how to end, by a word among the arguments."""
        (self.folder / "script").write_text(json.dumps(script))

    @property
    def calls(self) -> list[dict[str, Any]]:
        file = self.folder / "calls"
        return [json.loads(line) for line in file.read_text().splitlines()] if file.exists() else []


@pytest.fixture
def programs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Programs:
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", str(folder), prepend=":")
    for name in (
        "REGISTRY_AUTH_FILE",
        "LABWRIGHT_REGISTRY_INSECURE",
        "LABWRIGHT_BUILDKIT_CACHE",
        "LABWRIGHT_BUILDKIT_TLS",
    ):
        monkeypatch.delenv(name, raising=False)
    return Programs(folder)


class Said(logging.Handler):
    def __init__(self) -> None:
        super().__init__()
        self.lines: list[tuple[str, str]] = []
        self.reasons: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append((str(getattr(record, "phase", "")), record.getMessage()))
        if (reason := getattr(record, "reason", None)) is not None:
            self.reasons.append(str(reason))


@pytest.fixture
def said() -> Iterator[Said]:
    handler = Said()
    log = logging.getLogger("test")
    log.setLevel(logging.INFO)
    log.addHandler(handler)
    yield handler
    log.removeHandler(handler)


@pytest.fixture
def parent() -> LoggingConfigurable:
    return LoggingConfigurable(log=logging.getLogger("test"))
