"""Repositories are fetched by real Git and real Git LFS, with the configuration of the image."""

import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from repo2docker.engine import BuildError

from labwright_builder.content import CheckedGit

from .conftest import Said
from .git_host import GitHost

_ATTRIBUTES = "*.bin filter=lfs diff=lfs merge=lfs -text\n"


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[GitHost]:
    (tmp_path / "home").mkdir()
    for name in [name for name in os.environ if name.startswith("GIT_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    # The system's, in the image.
    monkeypatch.setenv("GIT_CONFIG_SYSTEM", str(Path(__file__).parent.parent / "gitconfig"))
    monkeypatch.setenv("GIT_CONFIG_GLOBAL", str(tmp_path / "credentials"))
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "https:http:ssh")
    monkeypatch.delenv("LABWRIGHT_FETCH_UNREACHED", raising=False)
    folder = tmp_path / "host"
    folder.mkdir()
    host = GitHost(folder)
    yield host
    host.close()


@pytest.fixture
def provider(said: Said) -> CheckedGit:
    provider = CheckedGit()
    provider.log.addHandler(said)
    return provider


@pytest.fixture(autouse=True)
def _quiet(said: Said, provider: CheckedGit) -> Iterator[None]:
    yield
    provider.log.removeHandler(said)


def fetch(provider: CheckedGit, url: str, ref: str, out: Path) -> str:
    """What the log says."""
    out.mkdir()
    return "".join(provider.fetch({"repo": url, "ref": ref}, str(out), True))


def failing(provider: CheckedGit, said: Said, url: str, ref: str, out: Path) -> tuple[str, str]:
    """The reason and the sentence that a repository is not fetched with."""
    with pytest.raises(BuildError):
        fetch(provider, url, ref, out)
    assert [phase for phase, _ in said.lines] == ["failed"]
    return said.reasons[-1], said.lines[-1][1]


def test_checks_out_a_commit_with_its_submodules(host: GitHost, provider: CheckedGit, tmp_path: Path) -> None:
    inner = host.add("inner", {"inner.txt": "in"})
    commit = host.add("lab", {"a.txt": "a"}, {"deep/sub": (f"{host.url}/inner.git", inner)})
    fetch(provider, f"{host.url}/lab.git", commit, tmp_path / "out")
    assert (tmp_path / "out" / "deep" / "sub" / "inner.txt").read_text() == "in"
    assert provider.content_id == commit[:7]


def test_fetches_a_commit_that_no_branch_has_where_that_is_allowed(
    host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    host.add("lab", {"a.txt": "a"})
    commit = host.add_unreached("lab")
    url = f"{host.url}/lab.git"
    reason, sentence = failing(provider, said, url, commit, tmp_path / "refused")
    assert (reason, "others are not built here" in sentence) == ("RefNotFound", True)
    monkeypatch.setenv("LABWRIGHT_FETCH_UNREACHED", "1")
    fetch(provider, url, commit, tmp_path / "out")
    assert (tmp_path / "out" / "pulled.txt").read_text() == "pulled"


def test_says_that_a_commit_is_not_given(
    host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABWRIGHT_FETCH_UNREACHED", "1")
    host.add("lab", {"a.txt": "a"})
    reason, sentence = failing(provider, said, f"{host.url}/lab.git", "f" * 40, tmp_path / "out")
    assert (reason, "does not give it by its hash" in sentence) == ("RefNotFound", True)


def test_says_that_a_repository_is_empty(host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path) -> None:
    bare = host.folder / "empty.git"
    bare.mkdir()
    host.git(bare, "init", "-q", "--bare")
    reason, sentence = failing(provider, said, f"{host.url}/empty.git", "HEAD", tmp_path / "out")
    assert (reason, sentence) == ("RefNotFound", "The repository is empty: nothing has been committed to it yet.")


def test_says_why_a_repository_cannot_be_fetched(
    host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{closed.getsockname()[1]}"
        expected = {
            f"{host.url}/none.git": ("RepositoryNotFound", "has no such repository"),
            "http://nowhere.invalid/lab.git": ("HostNotFound", "The name nowhere.invalid cannot be resolved."),
            f"http://{address}/lab.git": ("RepositoryUnavailable", f"{address} does not answer."),
        }
        for number, (url, (reason, words)) in enumerate(expected.items()):
            said.lines.clear()
            found = failing(provider, said, url, "f" * 40, tmp_path / f"out-{number}")
            assert (found[0], words in found[1]) == (reason, True), found


@pytest.mark.parametrize(
    ("url", "commit", "why"),
    [
        ("{host}/none.git", "f" * 40, "has no such repository, or does not give it."),
        ("{host}/inner.git", "e" * 40, f"its commit {'e' * 40} is not there."),
        ("/srv/inner", "f" * 40, "from servers only, and not from paths."),
        ("http://nowhere.invalid/x.git", "f" * 40, "the name nowhere.invalid cannot be resolved."),
    ],
)
def test_names_the_submodule_that_cannot_be_fetched(
    host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path, url: str, commit: str, why: str
) -> None:
    host.add("inner", {"inner.txt": "in"})
    top = host.add("lab", {"a.txt": "a"}, {"deep/sub": (url.format(host=host.url), commit)})
    reason, sentence = failing(provider, said, f"{host.url}/lab.git", top, tmp_path / "out")
    assert reason == "SubmoduleUnavailable"
    assert sentence.startswith('The submodule "deep/sub" of the repository cannot be fetched')
    assert why in sentence


def test_shows_no_credential_of_a_submodules_address(
    host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path
) -> None:
    address = host.url.replace("://", "://oauth2:placeholder-token@")
    inner = host.add("inner", {"inner.txt": "in"})
    good = host.add("good", {}, {"sub": (f"{address}/inner.git", inner)})
    text = fetch(provider, f"{host.url}/good.git", good, tmp_path / "good")
    assert "inner.git" in text
    bad = host.add("bad", {}, {"sub": (f"{address}/none.git", inner)})
    _, sentence = failing(provider, said, f"{host.url}/bad.git", bad, tmp_path / "bad")
    assert f"from {host.url}/none.git" in sentence
    assert "placeholder" not in text + sentence


def test_fetches_what_is_in_lfs_also_of_submodules(host: GitHost, provider: CheckedGit, tmp_path: Path) -> None:
    files = {".gitattributes": _ATTRIBUTES, "a.bin": host.store(b"one" * 1000)}
    inner = host.add("inner", {".gitattributes": _ATTRIBUTES, "b.bin": host.store(b"two" * 1000)})
    commit = host.add("lab", files, {"sub": (f"{host.url}/inner.git", inner)})
    fetch(provider, f"{host.url}/lab.git", commit, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"one" * 1000
    assert (tmp_path / "out" / "sub" / "b.bin").read_bytes() == b"two" * 1000


def test_fails_where_a_file_in_lfs_cannot_be_fetched(
    host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path
) -> None:
    pointer = host.store(b"gone")
    host.objects.clear()
    inner = host.add("inner", {".gitattributes": _ATTRIBUTES, "data/b.bin": pointer})
    outer = host.add("outer", {}, {"sub": (f"{host.url}/inner.git", inner)})
    for name, commit in (("inner", inner), ("outer", outer)):
        said.lines.clear()
        reason, sentence = failing(provider, said, f"{host.url}/{name}.git", commit, tmp_path / name)
        assert reason == "LfsUnavailable"
        assert sentence.startswith("The file data/b.bin in Git LFS cannot be fetched.")
        assert "does not exist on the server" in sentence


def test_reads_lfs_with_the_credential_of_a_part_of_its_host(
    host: GitHost, provider: CheckedGit, tmp_path: Path
) -> None:
    helper = tmp_path / "helper"
    helper.write_text("username=ada\npassword=placeholder\n")
    # As Labwright writes it.
    (tmp_path / "credentials").write_text(
        f'[credential]\n\thelper = \n\tuseHttpPath = "true"\n[credential "{host.url}/group"]\n'
        f'\thelper = "!f() {{ test \\"$1\\" != get || cat {helper}; }}; f"\n'
    )
    files = {".gitattributes": _ATTRIBUTES, "a.bin": host.store(b"one" * 1000)}
    commit = host.add("group/lab", files)
    host.login = "ada:placeholder"
    fetch(provider, f"{host.url}/group/lab.git", commit, tmp_path / "out")
    assert (tmp_path / "out" / "a.bin").read_bytes() == b"one" * 1000
    assert [shown for path, shown in host.asked_with if path.startswith("/objects/")] == [None]


@pytest.mark.parametrize("address", ["file://{folder}/other-tree/.git", "file://{folder}/other.git"])
def test_fetches_lfs_from_servers_only(
    host: GitHost, provider: CheckedGit, said: Said, tmp_path: Path, address: str
) -> None:
    pointer = host.store(b"inside")
    oid = pointer.split("sha256:")[1][:64]
    host.objects.clear()
    host.add("other", {"x": "y"})
    for place in ("other-tree/.git", "other.git"):
        kept = host.folder / place / "lfs" / "objects" / oid[:2] / oid[2:4]
        kept.mkdir(parents=True)
        (kept / oid).write_bytes(b"inside")
    config = f"[lfs]\n\turl = {address.format(folder=host.folder)}\n"
    commit = host.add("lab", {".gitattributes": _ATTRIBUTES, "a.bin": pointer, ".lfsconfig": config})
    assert failing(provider, said, f"{host.url}/lab.git", commit, tmp_path / "out")[0] == "LfsUnavailable"
