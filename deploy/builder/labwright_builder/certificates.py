"""Certificates of servers, and the authorities that they are trusted by."""

import os
import socket
import ssl
import tempfile
from pathlib import Path

_TIMEOUT_SECONDS = 5
_HTTPS = 443
_SYSTEM = Path("/etc/ssl/certs/ca-certificates.crt")
# What reads its authorities from a file: Go (buildah, git-lfs), Git, Python's requests and curl.
_VARIABLES = ("SSL_CERT_FILE", "GIT_SSL_CAINFO", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")


def trust(file: Path, directory: Path, system: Path = _SYSTEM) -> None:
    """Have every program that is run from now on trust the authorities in a file besides those of the image.

    Steps of a build do not see it: their variables and files are those of their image.
    """
    bundle = directory / "certificate-authorities.pem"
    known = system.read_text() if system.is_file() else ""
    bundle.write_text(f"{known}\n{file.read_text()}\n")
    for variable in _VARIABLES:
        os.environ[variable] = str(bundle)


def issuer_of(host: str) -> str:
    """Who has issued the certificate that a server shows, as a part of a sentence; empty where that cannot be seen."""
    name, _, port = host.partition(":")
    try:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        with (
            socket.create_connection((name, int(port or _HTTPS)), _TIMEOUT_SECONDS) as plain,
            context.wrap_socket(plain, server_hostname=name) as connection,
        ):
            shown = connection.getpeercert(binary_form=True)
        if shown is None:
            return ""
        with tempfile.NamedTemporaryFile("w", suffix=".pem") as file:
            file.write(ssl.DER_cert_to_PEM_cert(shown))
            file.flush()
            # The one decoder that Python has; it is private.
            decoded = ssl._ssl._test_decode_cert(file.name)  # type: ignore[attr-defined]
        fields = dict(field for part in decoded["issuer"] for field in part)
        issuer = fields.get("commonName") or fields.get("organizationName") or "?"
        return f' (issued by "{issuer}", valid until {decoded["notAfter"]})'
    except (OSError, ValueError, KeyError, AttributeError):
        return ""
