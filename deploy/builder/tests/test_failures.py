import pytest

from labwright_builder.failures import Failure, base_failure, fetch_failure, push_failure, step_failure

_X509 = "tls: failed to verify certificate: x509: certificate signed by unknown authority"


@pytest.mark.parametrize(
    ("output", "pushing", "pulling"),
    [
        ("toomanyrequests: You have reached your pull rate limit", "RateLimited", "RateLimited"),
        ("dial tcp: lookup r.example on 10.0.0.10:53: no such host", "HostNotFound", "HostNotFound"),
        (f'Get "https://r.invalid/v2/": {_X509}', "CertificateNotTrusted", "CertificateNotTrusted"),
        (
            'Get "https://r.invalid/v2/": tls: failed to verify certificate: x509: certificate has expired',
            "CertificateNotTrusted",
            "CertificateNotTrusted",
        ),
        (
            'Get "https://r.example/v2/": http: server gave HTTP response to HTTPS client',
            "RegistryUnavailable",
            "RegistryUnavailable",
        ),
        ("write /var/tmp/x: no space left on device", "NoSpace", "NoSpace"),
        ("initiating layer upload to /v2/x/blobs/uploads/ in r: name unknown", "RegistryRepositoryMissing", None),
        ("uploading blob: 413 (Request Entity Too Large)", "LayerTooLarge", None),
        ("unauthorized: authentication required", "RegistryDenied", "BaseImageDenied"),
        ("reading manifest 1 in r/x: manifest unknown", None, "BaseImageNotFound"),
        ("dial tcp 192.0.2.1:443: connect: connection refused", "RegistryUnavailable", "RegistryUnavailable"),
        ("something else", "PushFailed", "BuildFailed"),
    ],
)
def test_each_cause_has_a_word_of_its_own(output: str, pushing: str | None, pulling: str | None) -> None:
    output = f"Error: {output}\n"
    if pushing is not None:
        assert push_failure(125, output, "r.example").reason == pushing
    if pulling is not None:
        assert base_failure("r.example/x:1", output, "r.example").reason == pulling


def test_hosts_are_named() -> None:
    lookup = "Error: dial tcp: lookup r.example on 10.0.0.10:53: no such host\n"
    assert "r.example, cannot be resolved" in push_failure(125, lookup).sentence
    certificate = f'Error: pinging container registry r.invalid: Get "https://r.invalid/v2/": {_X509}\n'
    told = push_failure(125, certificate)
    assert told.sentence == "The registry r.invalid has a certificate that is not trusted."
    assert told.words.endswith("signed by unknown authority")
    git = "fatal: unable to access 'https://g.invalid/x/': SSL certificate problem: self-signed certificate\n"
    assert fetch_failure("https://g.invalid/x", git)[:2] == (
        "CertificateNotTrusted",
        "The certificate of g.invalid is not trusted.",
    )


def test_the_cause_comes_before_what_may_be_cut_off() -> None:
    output = f"Error: reading manifest: {'x' * 500} toomanyrequests: slow down\n"
    told = str(base_failure("r.example/x:1", output))
    assert told.startswith("The base image r.example/x:1 cannot be fetched: its registry asks for fewer requests.")
    assert told.endswith("toomanyrequests: slow down")


@pytest.mark.parametrize(
    ("code", "output", "reason"),
    [
        ("137", "Killed\n", "OOMKilled"),
        ("1", "OSError: [Errno 28] No space left on device\nexit status 1\n", "NoSpace"),
        ("1", "no\n", "BuildFailed"),
    ],
)
def test_a_step_says_what_it_has_run_out_of(code: str, output: str, reason: str) -> None:
    assert step_failure("2/3: RUN x", code, output).reason == reason


def test_a_failure_is_one_line() -> None:
    assert str(Failure("BuildFailed", "It failed.")) == "It failed."
    assert str(Failure("BuildFailed", "It failed.", "why")) == "It failed. It said: why"
