import subprocess
from pathlib import Path

import pytest
from repo2docker.contentproviders.base import ContentProviderException

from labwright_builder.content import CheckedGit, check_links


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


# repo2docker does not close the pipe it reads Git's output from.
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_says_that_a_submodule_is_missing_without_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, inner = tmp_path / "source", tmp_path / "inner"
    identity = ("-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "protocol.file.allow=always")

    def git(where: Path, *words: str) -> str:
        program = ["git", "-C", str(where), *identity, *words]
        return subprocess.run(program, check=True, capture_output=True, text=True).stdout.strip()

    for folder in (inner, source):
        folder.mkdir()
        git(folder, "init", "-q")
        git(folder, "commit", "-q", "--allow-empty", "-m", "one")
    git(source, "submodule", "add", "-q", str(inner), "sub")
    git(source, "commit", "-q", "-m", "two")
    # The repository itself is a path here, what is in it may not be one.
    monkeypatch.setenv("GIT_CONFIG_COUNT", "1")
    monkeypatch.setenv("GIT_CONFIG_KEY_0", "protocol.file.allow")
    monkeypatch.setenv("GIT_CONFIG_VALUE_0", "user")
    with pytest.raises(ContentProviderException, match=r"^A submodule of the repository cannot be fetched\.$"):
        list(CheckedGit().fetch({"repo": str(source), "ref": "HEAD"}, str(tmp_path / "out"), True))
