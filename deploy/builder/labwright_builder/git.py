"""Fetches a repository with Git, with its submodules and what is in Git LFS, and says why it cannot."""

import os
import re
import subprocess
from collections.abc import Generator
from typing import Any

from repo2docker.contentproviders import Git

from .failures import Failure, fail, fetch_failure, lfs_failure, submodule_failure, without_credentials
from .output import stream

_MOST_LINES = 200
_FILTER = re.compile(
    r"smudge filter lfs failed|external filter '[^']*git-lfs|git-lfs.*(?:error|not found)", re.IGNORECASE
)
_EMPTY = "The repository is empty: nothing has been committed to it yet."

Lines = Generator[str, None, None]


class LabwrightGit(Git):
    """A Git repository at one commit, whatever ref of its host that commit belongs to."""

    def fetch(self, spec: Any, output_dir: str, yield_output: bool = False) -> Lines:
        """Fetch a repository; yields the lines of the log, which have no credentials in them."""
        repository, ref = spec["repo"], spec.get("ref") or "HEAD"
        code, said = yield from _git(
            "clone", *(["--depth=1"] if ref == "HEAD" else []), "--no-checkout", "--", repository, output_dir
        )
        if code != 0:
            fail(self.log, fetch_failure(repository, said))
        if ref != "HEAD" and not _has_commit(ref, output_dir):
            yield from self._fetch_commit(ref, output_dir)
        code, said = yield from _git("-C", output_dir, "reset", "--hard", ref)
        if code != 0:
            fail(self.log, self._why_not_checked_out(code, said, output_dir))
        code, said = yield from _git("-C", output_dir, "submodule", "update", "--init", "--recursive")
        if code != 0:
            fail(self.log, lfs_failure(said) if _FILTER.search(said) else submodule_failure(said, output_dir))
        self._sha1 = _output_of("rev-parse", "HEAD", where=output_dir)

    def _fetch_commit(self, commit: str, where: str) -> Lines:
        """Fetch a commit that no branch and no tag has, such as that of a pull request."""
        unreached = f"No branch and no tag of the repository has the commit {commit}"
        if os.environ.get("LABWRIGHT_FETCH_UNREACHED") != "1":
            fail(self.log, Failure("RefNotFound", f"{unreached}, and others are not built here."))
        code, _ = yield from _git("-C", where, "fetch", "origin", commit)
        if code == 0:
            return
        if _is_empty(where):
            fail(self.log, Failure("RefNotFound", _EMPTY))
        fail(self.log, Failure("RefNotFound", f"{unreached}, and its host does not give it by its hash."))

    def _why_not_checked_out(self, code: int, said: str, where: str) -> Failure:
        if _is_empty(where):
            return Failure("RefNotFound", _EMPTY)
        if _FILTER.search(said):
            return lfs_failure(said)
        return Failure("BuildFailed", f"The repository cannot be checked out: Git ended with exit code {code}.", said)


def _git(*words: str) -> Generator[str, None, tuple[int, str]]:
    """Run Git and yield what it says; its exit code, and the last of that."""
    lines = stream(["git", *words], os.environ)
    last: list[str] = []
    while True:
        try:
            line = without_credentials(next(lines))
        except StopIteration as end:
            return int(end.value), "".join(last)
        last = [*last[-_MOST_LINES:], line]
        yield line


def _is_empty(where: str) -> bool:
    return _output_of("for-each-ref", "--count=1", where=where) == ""


def _has_commit(commit: str, where: str) -> bool:
    words = ["git", "-C", where, "cat-file", "-e", f"{commit}^{{commit}}"]
    return subprocess.run(words, capture_output=True, check=False).returncode == 0


def _output_of(*words: str, where: str) -> str:
    found = subprocess.run(["git", "-C", where, *words], capture_output=True, check=False, text=True)  # noqa: S607
    return found.stdout.strip()
