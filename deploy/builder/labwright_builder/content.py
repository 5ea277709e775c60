"""Fetches repositories, and looks for links to what is not theirs.

repo2docker reads files of the repository and says what is wrong with them, and packs the directory that was asked for:
a link to a Git credential would be in the log or in the image.
"""

import os
from collections.abc import Generator
from pathlib import Path
from typing import Any

from repo2docker.contentproviders import Zenodo
from repo2docker.contentproviders.base import ContentProviderException

from .engine import SECRETS
from .git import LabwrightGit

# Places whose files are of the builder and not of any image, and the kernel's ways back to them.
_FOREIGN = (SECRETS, "/run/labwright", "/proc", "/sys")


class _Checked:
    """A content provider whose repository has no link that leads to the builder's secrets."""

    def fetch(self, spec: Any, output_dir: str, yield_output: bool = False) -> Generator[str, None, None]:
        """Fetch a repository; yields the lines of the log."""
        yield from super().fetch(spec, output_dir, yield_output)  # type: ignore[misc]
        check_links(Path(output_dir))


class CheckedGit(_Checked, LabwrightGit):
    """A Git repository with its submodules and what is in Git LFS."""


class CheckedZenodo(_Checked, Zenodo):
    """An archive of Zenodo, or of one that works as it does."""


def check_links(directory: Path, foreign: tuple[str, ...] = _FOREIGN) -> None:
    """Refuse a repository with a symbolic link that leads to what is the builder's.

    Raises: ContentProviderException
    """
    places = [Path(os.path.realpath(place)) for place in foreign]
    for folder, folders, files in os.walk(directory):
        for name in (*folders, *files):
            path = Path(folder, name)
            if path.is_symlink() and _leads_to(path, places):
                shown = path.relative_to(directory)
                raise ContentProviderException(f"The link {shown} leads out of the repository, to what is not its own.")


def _leads_to(path: Path, places: list[Path]) -> bool:
    # What it says counts as well as where it leads: /proc/self/root/… is every other place by another name.
    target = Path(os.path.normpath(path.parent / path.readlink()))
    return any(each.is_relative_to(place) for each in (target, Path(os.path.realpath(path))) for place in places)
