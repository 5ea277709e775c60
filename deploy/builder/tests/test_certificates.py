"""Servers with a certificate of an authority that nobody knows: real TLS, and what real Git says of it."""

import os
import ssl
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from repo2docker.engine import BuildError

from labwright_builder.certificates import issuer_of, trust
from labwright_builder.content import CheckedGit

from .git_host import GitHost


@pytest.fixture
def authority(tmp_path: Path) -> Path:
    """Makes an authority and a certificate of it for 127.0.0.1."""
    folder = tmp_path / "authority"
    folder.mkdir()

    def openssl(*words: str) -> None:
        subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True)  # noqa: S607

    openssl(
        *("req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=House of Ada"),
        *("-keyout", "ca.key", "-out", "ca.pem"),
    )
    openssl("req", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=git", "-keyout", "git.key", "-out", "git.csr")
    (folder / "names").write_text("subjectAltName=IP:127.0.0.1")
    openssl(
        *("x509", "-req", "-in", "git.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "1"),
        *("-extfile", "names", "-out", "git.pem"),
    )
    return folder


@pytest.fixture
def host(tmp_path: Path, authority: Path) -> Iterator[GitHost]:
    folder = tmp_path / "host"
    folder.mkdir()
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(authority / "git.pem", authority / "git.key")
    host = GitHost(folder, context)
    yield host
    host.close()


@pytest.fixture(autouse=True)
def _environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        # What the code under test sets is taken back.
        monkeypatch.setenv(name, "")
        monkeypatch.delenv(name)
    monkeypatch.setenv("GIT_TERMINAL_PROMPT", "0")


def test_an_unknown_authority_is_named_and_one_that_is_trusted_is_enough(
    host: GitHost, authority: Path, tmp_path: Path
) -> None:
    commit = host.add("lab", {"a.txt": "a"})
    spec = {"repo": f"{host.url}/lab.git", "ref": commit}
    with pytest.raises(
        BuildError, match=r'^The certificate of 127\.0\.0\.1:\d+ is not trusted \(issued by "House of Ada"'
    ):
        list(CheckedGit().fetch(spec, str(tmp_path / "refused"), True))
    trust(authority / "ca.pem", tmp_path)
    list(CheckedGit().fetch(spec, str(tmp_path / "out"), True))
    assert (tmp_path / "out" / "a.txt").read_text() == "a"


def test_authorities_of_the_image_stay_trusted(authority: Path, tmp_path: Path) -> None:
    system = tmp_path / "system.pem"
    system.write_text("of the image")
    trust(authority / "ca.pem", tmp_path, system)
    bundle = Path(os.environ["SSL_CERT_FILE"]).read_text()
    assert bundle.startswith("of the image\n")
    assert (authority / "ca.pem").read_text() in bundle
    assert os.environ["GIT_SSL_CAINFO"] == os.environ["REQUESTS_CA_BUNDLE"] == os.environ["SSL_CERT_FILE"]


def test_nothing_is_said_of_a_certificate_that_cannot_be_seen() -> None:
    assert issuer_of("nowhere.invalid") == ""
    assert issuer_of("nonsense:port") == ""
