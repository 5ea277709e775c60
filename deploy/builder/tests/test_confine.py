import os
import subprocess
import sys
from pathlib import Path

import pytest

from labwright_builder.confine import command

_PROBE = [sys.executable, "-m", "labwright_builder.confine", "--", "true"]
_CAN = subprocess.run(_PROBE, capture_output=True, check=False).returncode == 0
pytestmark = pytest.mark.skipif(not _CAN or os.getuid() != 0, reason="needs user namespaces, and root for its ids")


def run(script: str, *hidden: Path) -> subprocess.CompletedProcess[str]:
    program = command(["sh", "-c", script], hidden=[str(each) for each in hidden])
    return subprocess.run(program, capture_output=True, text=True, check=False, timeout=30)


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    (tmp_path / "config.json").write_text("placeholder")
    return tmp_path


def test_hands_on_what_the_program_says_and_how_it_ends() -> None:
    ended = run("echo out; echo err >&2; exit 7")
    assert (ended.stdout, ended.stderr, ended.returncode) == ("out\n", "err\n", 7)
    assert run("kill -TERM $$").returncode == 128 + 15


def test_hides_a_directory_also_from_root_with_every_capability(secrets: Path) -> None:
    seen = run(
        f"ls -A {secrets}; umount {secrets} && echo unmounted; ls -A {secrets}; cat {secrets}/config.json", secrets
    )
    assert seen.stdout == ""


def test_lets_no_process_outside_be_looked_into(secrets: Path) -> None:
    seen = run(
        f"for p in {os.getpid()} $PPID; do"
        f" cat /proc/$p/root{secrets}/config.json /proc/$p/environ /proc/$p/mem;"
        " nsenter --target $p --mount true && echo entered; done",
        secrets,
    )
    assert seen.stdout == ""


def test_is_root_with_capabilities_of_its_own() -> None:
    assert run("id -u; mount -t tmpfs none /mnt && echo mounted").stdout == "0\nmounted\n"


def test_ends_what_the_program_leaves_running(tmp_path: Path) -> None:
    left = tmp_path / "left"
    run(f"(setsid sh -c 'echo $$ >{left}; exec sleep 600' >/dev/null 2>&1 &); while ! [ -s {left} ]; do :; done")
    assert not Path("/proc", left.read_text().strip()).exists()


def test_says_what_is_wrong_with_its_arguments() -> None:
    ended = subprocess.run([*_PROBE[:3], "true"], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stderr[:6]) == (2, "usage:")
