"""Why a lab did not start, and what its user can do about it."""

from __future__ import annotations

import re
from enum import Enum
from html import escape
from typing import Any

from tornado.web import HTTPError

from .answers import CONFLICTS, HTTP_METHOD_NOT_ALLOWED, HTTP_NOT_FOUND, HTTP_UNAUTHORIZED, Refusal

try:
    from jupyterhub.spawner import SpawnException
except ImportError:  # JupyterHub 5

    class SpawnException(HTTPError):  # type: ignore[no-redef]
        """JupyterHub 6's exception, as far as JupyterHub 5 understands one."""

        def __init__(self, message: str, *, reason: str, message_html: str = "", status_code: int = 400) -> None:
            super().__init__(status_code, message, reason=reason)
            self.message = message
            self.message_html = message_html


class Affair(Enum):
    """Whose affair a failure is, as the HTTP status of the page that tells it.

    All are below 500, so that none counts towards the hub's limit of consecutive failures: a hub that restarts itself
    mends none of them, and makes a rush worse.
    """

    USER = 400
    CAPACITY = 429
    SITE = 424


ASK = "Please tell the people who run this site."
AGAIN = "Try again in a few minutes."

_ADVICE: dict[str, tuple[Affair, str]] = {
    "Abandoned": (Affair.USER, "Start it again."),
    "AdmissionDenied": (Affair.SITE, ASK),
    "BaseImageDenied": (Affair.USER, "Look at what the repository asks for, or choose another image."),
    "BaseImageNotFound": (Affair.USER, "Look at what the repository asks for, or choose another image."),
    "BuildFailed": (Affair.USER, "Look at what the repository asks for, or choose another image."),
    "BuilderImageUnavailable": (Affair.SITE, ASK),
    "Cancelled": (Affair.USER, "Start it again when you need it."),
    "CertificateNotTrusted": (Affair.SITE, ASK),
    "ClusterUnavailable": (Affair.CAPACITY, f"{AGAIN} If it happens again, tell the people who run this site."),
    "ContainerConfigError": (Affair.SITE, ASK),
    "ContainerCreateError": (Affair.SITE, f"Choose another image, or: {ASK[0].lower()}{ASK[1:]}"),
    "DeadlineExceeded": (Affair.CAPACITY, f"{AGAIN} If it happens again, tell the people who run this site."),
    "DeletedExternally": (Affair.USER, "Start it again when you need it."),
    "Error": (
        Affair.USER,
        "Try again; if it happens again, choose “Reset user environment” or another image.",
    ),
    "Evicted": (Affair.CAPACITY, "Start it again."),
    "ExecutorUnavailable": (Affair.CAPACITY, f"{AGAIN} If it happens again, tell the people who run this site."),
    "Exited": (Affair.USER, "Start it again when you need it."),
    "HostNotFound": (Affair.USER, "Look at what the repository asks for, or choose another image."),
    "ImageNotFound": (Affair.USER, "Choose another image."),
    "ImagePlatform": (Affair.USER, "Choose another image."),
    "ImagePullError": (Affair.CAPACITY, f"{AGAIN} If it happens again, choose another image."),
    "InitContainerFailed": (Affair.SITE, ASK),
    "InvalidImageName": (Affair.USER, "Choose another image."),
    "InvalidObject": (Affair.SITE, ASK),
    "LayerTooLarge": (Affair.SITE, ASK),
    "LfsUnavailable": (Affair.USER, "Look at what the repository asks for, or choose another image."),
    "MissingSecret": (Affair.SITE, ASK),
    "NameTaken": (Affair.SITE, ASK),
    "NoOutput": (Affair.USER, "Look at what the repository asks for, or choose another image."),
    "NoSpace": (Affair.SITE, ASK),
    "NodeLost": (Affair.CAPACITY, "Start it again."),
    "NodeRejected": (Affair.CAPACITY, "Start it again."),
    "OOMKilled": (Affair.USER, "Choose a larger size."),
    "PermissionMissing": (Affair.SITE, ASK),
    "PodStuck": (Affair.SITE, ASK),
    "Preempted": (Affair.CAPACITY, AGAIN),
    "PullTimeout": (Affair.SITE, ASK),
    "PushFailed": (Affair.SITE, ASK),
    "PushTimeout": (Affair.SITE, ASK),
    "QueueFull": (Affair.CAPACITY, AGAIN),
    "QueueTimeout": (Affair.CAPACITY, AGAIN),
    "QuotaExceeded": (Affair.USER, "Choose a smaller size, or stop another server first."),
    "RateLimited": (Affair.CAPACITY, AGAIN),
    "RefNotFound": (Affair.USER, "Check the repository and its branch, tag or commit."),
    "RegistryDenied": (Affair.SITE, ASK),
    "RegistryRepositoryMissing": (Affair.SITE, ASK),
    "RegistryUnavailable": (Affair.CAPACITY, f"{AGAIN} If it happens again, tell the people who run this site."),
    "RepositoryInvalid": (Affair.USER, "Check how the repository is written."),
    "RepositoryNotAllowed": (Affair.USER, "Choose another repository or image."),
    "RepositoryNotFound": (Affair.USER, "Check the repository; a private one has to be opened to this site."),
    "RepositoryUnavailable": (Affair.CAPACITY, AGAIN),
    "SchedulingTimeout": (Affair.CAPACITY, AGAIN),
    "SidecarFailed": (Affair.SITE, ASK),
    "SubmoduleUnavailable": (Affair.USER, "Look at what the repository asks for, or choose another image."),
    "Unschedulable": (Affair.CAPACITY, f"{AGAIN} A smaller size may find room sooner."),
    "VolumeMountFailed": (Affair.SITE, ASK),
}


def spawn_failed(reason: str | None, message: str | None) -> Any:
    """The exception for a lab that failed.

    :param reason: the controller's word for it.
    :param message: the controller's sentence for the user.
    """
    affair, advice = _ADVICE.get(reason or "", (Affair.SITE, ASK))
    return spawn_exception(message or "The lab did not start.", advice, reason or "unknown", affair.value)


def spawn_exception(message: str, advice: str, reason: str, status: int) -> Any:
    """An exception that the hub shows in full: on the progress page, on the page after it and to callers of its API.

    :param reason: one word, for the hub's metrics.
    """
    advice = "" if advice in message else advice
    text = f"{message} {advice}".strip()
    html = f"<strong>{escape(message)}</strong> {escape(advice)}".strip()
    word = reason if re.fullmatch(r"\w{1,40}", reason, re.ASCII) else "unknown"
    error = SpawnException(text, reason=word, message_html=html, status_code=status)
    # The progress page looks at these, in every version.
    error.jupyterhub_message = text
    error.jupyterhub_html_message = html
    return error


def explain_refusal(refusal: Refusal, *, by_user: bool) -> Any:
    """The exception that tells a user why no lab was made."""
    message, advice = refusal_text(refusal, by_user=by_user)
    return spawn_exception(message, advice, refusal.code or "refused", min(refusal.status, 499))


def refusal_text(refusal: Refusal, *, by_user: bool) -> tuple[str, str]:
    """What is wrong, and what can be done about it.

    :param by_user: whether the user's own token was used, not the hub's.
    """
    if refusal.status == HTTP_UNAUTHORIZED and by_user:
        return "Your login has expired.", "Log out, log in and start again."
    if refusal.status == HTTP_UNAUTHORIZED:
        return "The lab controller does not accept the hub.", ASK
    if refusal.status in {HTTP_NOT_FOUND, HTTP_METHOD_NOT_ALLOWED}:
        return "The hub does not find the lab controller.", ASK
    if refusal.code in CONFLICTS:
        return "A lab from before could not be removed.", f"Try again in a minute. {ASK}"
    if refusal.status >= 500:  # noqa: PLR2004
        return "The lab controller has failed.", ASK
    return str(refusal), ""
