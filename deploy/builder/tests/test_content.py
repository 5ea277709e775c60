from pathlib import Path

import pytest
from repo2docker.contentproviders.base import ContentProviderException

from labwright_builder.content import check_links


@pytest.fixture
def secrets(tmp_path: Path) -> Path:
    folder = tmp_path / "secrets"
    folder.mkdir()
    (folder / "git-credentials").write_text("placeholder")
    return folder


@pytest.fixture
def repository(tmp_path: Path) -> Path:
    folder = tmp_path / "repository"
    (folder / "deep").mkdir(parents=True)
    return folder


@pytest.mark.parametrize(
    "target",
    [
        "{secrets}/git-credentials",
        "{secrets}",
        "../../secrets/git-credentials",
        "/proc/self/root{secrets}",
        "../../hop",
        "/proc/1/environ",
    ],
)
def test_refuses_a_link_to_the_builders_secrets(repository: Path, secrets: Path, target: str) -> None:
    (repository.parent / "hop").symlink_to(secrets)
    (repository / "deep" / "apt.txt").symlink_to(target.format(secrets=secrets))
    with pytest.raises(ContentProviderException, match=r"The link deep/apt.txt leads out"):
        check_links(repository, (str(secrets), "/proc"))


def test_leaves_links_inside_a_repository_and_into_the_image_alone(repository: Path, secrets: Path) -> None:
    (repository / "a.txt").write_text("a")
    (repository / "deep" / "b.txt").symlink_to("../a.txt")
    (repository / "python").symlink_to("/usr/bin/python3")
    (repository / "nowhere").symlink_to("/srv/nothing")
    (repository / "loop").symlink_to("loop")
    check_links(repository, (str(secrets), "/proc"))
