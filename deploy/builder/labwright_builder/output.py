"""Runs programs and reads what they say, line by line."""

import os
import subprocess
from collections.abc import Generator, Mapping, Sequence

_CHUNK = 64 * 1024


def stream(program: Sequence[str], env: Mapping[str, str]) -> Generator[str, None, int]:
    """Run a program and yield each line of its output, stdout and stderr together, as soon as it is there.

    A carriage return ends a line as well: progress bars write nothing else. What is no UTF-8 is replaced.

    Returns: its exit code
    """
    process = subprocess.Popen(
        program, env=dict(env), stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
    )
    output = process.stdout
    if output is None:
        raise RuntimeError("a pipe was asked for")
    rest = b""
    try:
        while chunk := os.read(output.fileno(), _CHUNK):
            *lines, rest = (rest + chunk).replace(b"\r\n", b"\n").replace(b"\r", b"\n").split(b"\n")
            for line in lines:
                yield line.decode("utf-8", "replace") + "\n"
        if rest:
            yield rest.decode("utf-8", "replace") + "\n"
        return process.wait()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        output.close()
