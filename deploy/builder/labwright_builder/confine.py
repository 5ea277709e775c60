"""Runs a program where the secrets of the builder cannot be seen.

`RUN` steps are other people's programs. With buildah's isolation "chroot" they share the PID namespace of the builder,
so that only the kernel's checks stand between them and `/proc/<pid>/root` of a process that sees the secrets. Here the
program gets two user namespaces of its own, one in the other:

- In the outer one an empty file system is mounted over the secrets.
- In the inner one the program runs. Mounts that it got from an outer user namespace are locked together: even root with
  all capabilities in there cannot take that file system away (mount_namespaces(7)).

Processes outside, which do see the secrets, are in an ancestor of its user namespace: the program has no capability
over them, so that the kernel refuses ptrace, `/proc/<pid>/root`, `environ`, `mem` and `fd` (ptrace(2), "access mode
checking").

When the program has ended, everything that it left running ends as well: nothing of a build is there while its image
is pushed.

usage: python -m labwright_builder.confine [--hide DIRECTORY]... -- PROGRAM [ARGUMENT]...
"""

import ctypes
import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

_LIBC = ctypes.CDLL(None, use_errno=True)
# linux/sched.h
_CLONE_NEWNS = 0x00020000
_CLONE_NEWUSER = 0x10000000
# linux/mount.h
_MS_RDONLY = 1
_MS_NOSUID = 2
_MS_NODEV = 4
_MS_NOEXEC = 8
# linux/prctl.h
_PR_SET_PDEATHSIG = 1
_PR_SET_CHILD_SUBREAPER = 36
_EXIT_UNUSABLE = 125


def main(arguments: Sequence[str] | None = None) -> int:
    """Do what the module says; the exit code is the program's, 128 and the signal when one has ended it."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    hidden = []
    while words[:1] == ["--hide"]:
        hidden.append(words[1])
        words = words[2:]
    if words[:1] != ["--"] or len(words) < 2:  # noqa: PLR2004 - the dashes and a program
        print("usage: confine [--hide DIRECTORY]... -- PROGRAM [ARGUMENT]...", file=sys.stderr)
        return 2
    _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    try:
        _enter_namespaces_with_helper()
        for directory in hidden:
            _hide(directory)
    except OSError as error:
        print(f"No user namespace or no mount can be made in this container: {error.strerror}.", file=sys.stderr)
        return _EXIT_UNUSABLE
    _prctl(_PR_SET_CHILD_SUBREAPER, 1)
    return _supervise(_start(words[1:]))


def command(program: Sequence[str], *, hidden: Sequence[str] = ()) -> list[str]:
    """Arguments with which `program` is run so."""
    hiding = [word for directory in hidden for word in ("--hide", directory)]
    return [sys.executable, "-m", "labwright_builder.confine", *hiding, "--", *program]


def _enter_namespaces_with_helper() -> None:
    """Move this process into new user and mount namespaces, with every id that it has now.

    Only a process outside may write a map of more than one id, so a child is left there for it.
    """
    parent = os.getpid()
    _as_child_when(_unshare, lambda: _map_ids(parent))


def _start(program: Sequence[str]) -> int:
    """Start the program in user and mount namespaces of its own; its process id."""
    entered_read, entered_write = os.pipe()
    mapped_read, mapped_write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(entered_read)
            os.close(mapped_write)
            _prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
            _unshare()
            os.write(entered_write, b".")
            if os.read(mapped_read, 1) == b"":
                os._exit(_EXIT_UNUSABLE)
            os.execvp(program[0], list(program))  # noqa: S606 - no shell is wanted
        except OSError as error:
            os.write(2, f"{program[0]} cannot be run: {error.strerror}.\n".encode())
        finally:
            os._exit(_EXIT_UNUSABLE)
    os.close(entered_write)
    os.close(mapped_read)
    try:
        if os.read(entered_read, 1) == b".":
            _map_ids(child)
            os.write(mapped_write, b".")
    finally:
        os.close(entered_read)
        os.close(mapped_write)
    return child


def _as_child_when(enter: Callable[[], None], helper: Callable[[], None]) -> None:
    """Call `enter` here, and then `helper` in a child that was made before."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.close(write)
            if os.read(read, 1) == b".":
                helper()
                code = 0
        finally:
            os._exit(code)
    os.close(read)
    try:
        enter()
        os.write(write, b".")
    finally:
        os.close(write)
        _, status = os.waitpid(child, 0)
    if status != 0:
        raise PermissionError(1, "its ids cannot be mapped")


def _map_ids(pid: int) -> None:
    """Map every id of this process's user namespace to itself."""
    for kind in ("uid_map", "gid_map"):
        ranges = [line.split() for line in Path("/proc/self", kind).read_text().splitlines()]
        text = "".join(f"{inside} {inside} {count}\n" for inside, _, count in ranges)
        Path("/proc", str(pid), kind).write_text(text)


def _unshare() -> None:
    # os.unshare is there from Python 3.12 on.
    if _LIBC.unshare(_CLONE_NEWUSER | _CLONE_NEWNS) != 0:
        raise _last_error()


def _hide(directory: str) -> None:
    if not Path(directory).is_dir():
        return
    flags = _MS_RDONLY | _MS_NOSUID | _MS_NODEV | _MS_NOEXEC
    if _LIBC.mount(b"none", os.fsencode(directory), b"tmpfs", flags, b"size=4k,mode=0000") != 0:
        raise _last_error()


def _last_error() -> OSError:
    number = ctypes.get_errno()
    return OSError(number, os.strerror(number))


def _supervise(program: int) -> int:
    """Wait for the program, then end what it left; its exit code."""
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda number, _: os.kill(program, number))
    code = _EXIT_UNUSABLE
    while True:
        try:
            pid, status = os.wait()
        except ChildProcessError:
            return code
        if pid == program:
            code = _exit_code(status)
            program = -1
        if program == -1:
            _kill_children()


def _exit_code(status: int) -> int:
    return 128 + os.WTERMSIG(status) if os.WIFSIGNALED(status) else os.WEXITSTATUS(status)


def _kill_children() -> None:
    """End the children of this process; theirs become children of this one and are next."""
    me = os.getpid()
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit() and _parent_of(folder) == me:
            try:
                os.kill(int(folder.name), signal.SIGKILL)
            except ProcessLookupError:
                continue


def _parent_of(folder: Path) -> int | None:
    try:
        # The second field is the name of the program, in parentheses, and may hold anything.
        return int((folder / "stat").read_text().rpartition(")")[2].split()[1])
    except (OSError, IndexError, ValueError):
        return None


def _prctl(option: int, value: int) -> None:
    _LIBC.prctl(option, value, 0, 0, 0)


if __name__ == "__main__":
    sys.exit(main())
