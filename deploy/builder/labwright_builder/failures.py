"""Why a build has failed: one word for programs, one sentence for people, from what other programs have written.

Labwright reads both from the line of the log with the phase `failed`. The words are those of its `Reason`.
"""

import logging
import re
from typing import NamedTuple, NoReturn

from repo2docker.engine import BuildError

from .certificates import issuer_of

_MOST_SHOWN = 200


class Failure(NamedTuple):
    """Why a build has failed. `words` are those of the program that knows more; a reader is shown their end."""

    reason: str
    sentence: str
    words: str = ""

    def __str__(self) -> str:
        """One line."""
        return f"{self.sentence} It said: {self.words}" if self.words else self.sentence


def fail(log: logging.Logger, failure: Failure) -> NoReturn:
    """End the build, and say why: repo2docker itself is silent about a BuildError."""
    log.error(str(failure), extra={"phase": "failed", "reason": failure.reason})
    raise BuildError(str(failure))


def shortened(text: str) -> str:
    """One line for a message."""
    line = " ".join(text.split())
    return line if len(line) <= _MOST_SHOWN else f"{line[: _MOST_SHOWN - 1]}…"


def without_credentials(text: str) -> str:
    """The text without names and passwords in URLs: those of submodules are whatever their repository says."""
    return _CREDENTIALS.sub("", text)


# What is around the words that say why, outermost first: which program did what with which image.
_AROUND = re.compile(
    r'^\s*(?:(?:fatal|error|ERROR|Error)(?: response from daemon)?: |pushing image "[^"]*" to "[^"]*": |writing \w+: |'
    r"trying to reuse blob \S+ at destination: |creating build container: |initializing source \S+: |"
    r"failed to solve: |failed to resolve source metadata for \S+: )+"
)
_SAYS_WHY = re.compile(r"\berror\b|denied|fail|no space left|refused|certificate|fatal:", re.IGNORECASE)
_CREDENTIALS = re.compile(r"(?<=://)[^/@\s'\"]+@")
_NAMES = re.compile(r'"[^"\s]*"|\'[^\'\s]*\'|\S*/\S*|sha256:[0-9a-f]+')
_HOST = re.compile(
    r"\w+://(?:[^/@\s]+@)?([^/\s'\":]+(?::\d+)?)|lookup (\S+?)(?: on |: )|resolve host(?:name)?:? ([^\s:;]+)"
)

# Causes by what is written of them, the first that is found: (pattern, cause).
_CAUSES = [
    (re.compile(r"toomanyrequests|too many requests|\b429\b|rate limit", re.IGNORECASE), "limited"),
    (
        re.compile(
            r"no such host|could not resolve host|name or service not known|temporary failure in name resolution"
            r"|server misbehaving|nodename nor servname",
            re.IGNORECASE,
        ),
        "no host",
    ),
    (re.compile(r"HTTP response to HTTPS"), "plain"),
    (re.compile(r"x509|certificate|tls:|SSL", re.IGNORECASE), "certificate"),
    (re.compile(r"no space left|quota exceeded", re.IGNORECASE), "full"),
    (re.compile(r"name.?unknown|repository .*not found", re.IGNORECASE), "no repository"),
    (re.compile(r"\b413\b|entity too large|too large|size.?invalid", re.IGNORECASE), "too large"),
    (
        re.compile(
            r"unauthorized|authentication|denied|forbidden|\b40[13]\b|could not read username|prompts disabled",
            re.IGNORECASE,
        ),
        "refused",
    ),
    (re.compile(r"manifest.?unknown|not found|\b404\b", re.IGNORECASE), "absent"),
    (
        re.compile(
            r"connection re(?:fused|set)|failed to connect|timeout|timed out|unreachable|\beof\b|\b50\d\b",
            re.IGNORECASE,
        ),
        "unreachable",
    ),
]

_Told = dict[str, tuple[str, str]]
_PUSH: _Told = {
    "limited": ("RateLimited", "The registry asks for fewer requests."),
    "no host": ("HostNotFound", "The name of the registry, {host}, cannot be resolved."),
    "certificate": ("CertificateNotTrusted", "The registry {host} has a certificate that is not trusted{issuer}."),
    "plain": ("RegistryUnavailable", "The registry {host} speaks plain HTTP, and is not known as one that does."),
    "full": ("NoSpace", "There is no room left on the disk to push the image from."),
    "no repository": ("RegistryRepositoryMissing", "The registry has no such repository, and makes none by itself."),
    "too large": ("LayerTooLarge", "The registry, or a proxy in front of it, takes no layer of this size."),
    "refused": (
        "RegistryDenied",
        "The registry refuses the image: its credentials are missing, wrong, or without the right to push it.",
    ),
    "unreachable": ("RegistryUnavailable", "The registry cannot be reached to push the image."),
}
_BASE = "The base image {name} cannot be fetched"
_PULL: _Told = {
    "limited": ("RateLimited", f"{_BASE}: its registry asks for fewer requests."),
    "no host": ("HostNotFound", f"{_BASE}: the name of its registry, {{host}}, cannot be resolved."),
    "certificate": (
        "CertificateNotTrusted",
        f"{_BASE}: its registry {{host}} has a certificate that is not trusted{{issuer}}.",
    ),
    "plain": ("RegistryUnavailable", f"{_BASE}: its registry {{host}} speaks plain HTTP, and is not known to do so."),
    "full": ("NoSpace", f"{_BASE}: there is no room left on the disk."),
    "no repository": ("BaseImageNotFound", f"{_BASE}: its registry does not have it."),
    "refused": ("BaseImageDenied", f"{_BASE}: its registry refuses it, or does not have it."),
    "absent": ("BaseImageNotFound", f"{_BASE}: its registry does not have it."),
    "unreachable": ("RegistryUnavailable", f"{_BASE}: its registry cannot be reached."),
}
_FETCH = {
    "limited": ("RateLimited", "{host} answers no more questions for now."),
    "no host": ("HostNotFound", "The name {host} cannot be resolved."),
    "certificate": ("CertificateNotTrusted", "The certificate of {host} is not trusted{issuer}."),
    "full": ("NoSpace", "There is no room left on the disk."),
    "no repository": ("RepositoryNotFound", "{host} has no such repository, or does not give it."),
    "refused": ("RepositoryNotFound", "{host} has no such repository, or does not give it."),
    "absent": ("RepositoryNotFound", "{host} has no such repository, or does not give it."),
    "unreachable": ("RepositoryUnavailable", "{host} does not answer."),
}


def words_of(output: str) -> str:
    """The words with which a program says why it has failed, for one line: without names of programs, and secrets."""
    lines = [line for line in output.splitlines() if line.strip()]
    last = next((line for line in reversed(lines) if _SAYS_WHY.search(line)), lines[-1] if lines else "")
    words = " ".join(without_credentials(_AROUND.sub("", last)).split())
    return words if len(words) <= _MOST_SHOWN else f"…{words[-_MOST_SHOWN + 1 :]}"


def cause_of(words: str) -> str:
    """What kind of failure the words tell of; names in them tell nothing. Empty if unknown."""
    plain = _NAMES.sub("", words)
    return next((cause for pattern, cause in _CAUSES if pattern.search(plain)), "")


def push_failure(code: int, output: str, registry: str = "") -> Failure:
    """Why a push has failed, as far as the output tells, with the words of the registry."""
    return _told(_PUSH, ("PushFailed", f"Pushing the image failed with exit code {code}."), output, registry)


def base_failure(image: str, output: str, registry: str = "") -> Failure:
    """Why an image that a build begins with cannot be fetched, as far as the output tells."""
    return _told(_PULL, ("BuildFailed", f"{_BASE}."), output, registry, image)


def step_failure(step: str, code: str, output: str = "") -> Failure:
    """Why a step has failed: the kernel ends what uses more memory than there is with SIGKILL."""
    if code == "137":
        sentence = f"Step {step} was killed: most likely the build used more memory than it has (exit code 137)."
        return Failure("OOMKilled", sentence)
    if re.search(r"no space left on device|disk quota exceeded", output, re.IGNORECASE):
        return Failure("NoSpace", f"Step {step} failed with exit code {code}: there is no room left on the disk.")
    return Failure("BuildFailed", f"Step {step} failed with exit code {code}.")


def fetch_failure(url: str, output: str) -> Failure:
    """Why Git cannot fetch a repository."""
    return _told(_FETCH, ("BuildFailed", "The repository cannot be fetched."), output, url.partition("://")[2])


_SUBMODULE = re.compile(r"into submodule path '([^']*)'|Failed to clone '([^']*)'|in submodule path '([^']*)'")
_SUBMODULE_URL = re.compile(r"clone of '([^']*)'|Submodule '[^']*' \(([^)]*)\)")
_SUBMODULE_COMMIT = re.compile(
    r"not our ref ([0-9a-f]{40,64})|did not contain ([0-9a-f]{40,64})|Unable to checkout '([^']*)'"
)


def submodule_failure(said: str, where: str) -> Failure:
    """Which submodule of a repository that is being fetched to `where` cannot be fetched, from which place, and why."""
    output = said.replace(f"{where.rstrip('/')}/", "")
    cause = _without_summary(output)
    # The innermost that has failed is told first; those that contain it follow.
    name, url = _first(_SUBMODULE, output), _first(_SUBMODULE_URL, output, last=True)
    which = f'The submodule "{name}" of the repository' if name else "A submodule of the repository"
    place = f" from {without_credentials(url)}" if url else ""
    if commit := _first(_SUBMODULE_COMMIT, output):
        why = f": its commit {commit} is not there."
    elif "transport 'file' not allowed" in output or (url and ":" not in url):
        why = ": submodules are fetched from servers only, and not from paths."
    else:
        _, sentence, _ = fetch_failure(url, cause)
        why = "." if sentence == "The repository cannot be fetched." else f": {sentence[:1].lower()}{sentence[1:]}"
    return Failure("SubmoduleUnavailable", f"{which} cannot be fetched{place}{why}", words_of(cause))


_LFS = re.compile(
    r"Error downloading (?:object: )?(\S+) \([0-9a-f]+\): (?:Smudge error: Error downloading [^:]*: )?(.*)"
)


def lfs_failure(output: str) -> Failure:
    """Which file in Git LFS cannot be fetched, and why."""
    found = _LFS.search(output)
    if found is None:
        return Failure("LfsUnavailable", "A file in Git LFS cannot be fetched.", words_of(output))
    return Failure("LfsUnavailable", f"The file {found[1]} in Git LFS cannot be fetched.", words_of(found[2]))


def _told(known: _Told, unknown: tuple[str, str], output: str, place: str, name: str = "") -> Failure:
    words = words_of(output)
    cause = cause_of(words)
    reason, sentence = known.get(cause, unknown)
    found = _HOST.search(_CREDENTIALS.sub("", output))
    host = next((each for each in found.groups() if each), "") if found else ""
    host = host or place.rpartition("@")[2].partition("/")[0] or "its host"
    issuer = issuer_of(host) if cause == "certificate" else ""
    return Failure(reason, sentence.format(host=host, name=name, issuer=issuer), words)


def _first(pattern: re.Pattern[str], text: str, *, last: bool = False) -> str:
    found = list(pattern.finditer(text))
    if not found:
        return ""
    return next((group for group in found[-1 if last else 0].groups() if group), "")


def _without_summary(output: str) -> str:
    summary = re.compile(r"^(?:fatal: clone of|Failed to clone|fatal: Failed to recurse|Submodule )", re.MULTILINE)
    return "\n".join(line for line in output.splitlines() if not summary.match(line))
