"""What comes back from Labwright, and what it means."""

from __future__ import annotations

import json
from typing import Any, NamedTuple

import aiohttp

MAX_BODY_BYTES = 4 * 1024 * 1024

HTTP_OK = 200
HTTP_CREATED = 201
HTTP_BAD_REQUEST = 400
HTTP_UNAUTHORIZED = 401
HTTP_NOT_FOUND = 404
HTTP_METHOD_NOT_ALLOWED = 405
HTTP_REQUEST_TIMEOUT = 408
HTTP_TOO_MANY_REQUESTS = 429
HTTP_SERVER_ERROR = 500
CONFLICTS = frozenset({"lab_exists", "operation_in_progress"})


class ControllerError(Exception):
    """The controller did not do what it was asked for."""


class Unavailable(ControllerError):
    """No answer that can be relied on: asking again may help. The text is for the log.

    :ivar retry_after: seconds after which the controller wants to be asked again, if it said so.
    """

    def __init__(self, message: str, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class Refusal(ControllerError):
    """The controller's own refusal; the text is its sentence for the user.

    :ivar status: HTTP status, 400 to 500.
    :ivar code: the controller's word for it, such as ``lab_exists``.
    """

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


class UnknownLab(ControllerError):
    """The controller knows of no such lab."""


class Answer(NamedTuple):
    """One answer, from the controller or from whatever stands between it and the hub."""

    status: int
    body: str
    retry_after: float | None

    @property
    def json(self) -> Any:
        """The document; None when it is none."""
        try:
            return json.loads(self.body)
        except ValueError:
            return None

    @property
    def code(self) -> str:
        """The controller's word for what is wrong; empty when it is not the controller's."""
        return next((str(each.get("type", "")) for each in self._details), "")

    @property
    def succeeded(self) -> bool:
        """Whether it was done."""
        return self.status // 100 == 2  # noqa: PLR2004

    @property
    def knows_no_lab(self) -> bool:
        """Whether the controller itself says so: a 404 of a proxy says nothing about labs."""
        return self.status == HTTP_NOT_FOUND and self.code == "unknown_user"

    def as_unavailable(self) -> Unavailable:
        """The exception for an answer that cannot be relied on."""
        whose = self.code or "not Labwright's"
        return Unavailable(f"the answer was {self.status} ({whose})", self.retry_after)

    def as_refusal(self) -> ControllerError:
        """The exception for the controller's refusal; `Unavailable` when it is none."""
        transient = self.status > HTTP_SERVER_ERROR or self.status in {HTTP_REQUEST_TIMEOUT, HTTP_TOO_MANY_REQUESTS}
        if transient or self.status < HTTP_BAD_REQUEST or not self._details:
            return self.as_unavailable()
        sentences = " ".join(dict.fromkeys(_sentence(each) for each in self._details))
        return Refusal(self.status, self.code, sentences)

    @property
    def _details(self) -> list[dict[str, Any]]:
        document = self.json
        detail = document.get("detail") if isinstance(document, dict) else None
        return [each for each in detail if isinstance(each, dict)] if isinstance(detail, list) else []


async def read_answer(response: aiohttp.ClientResponse) -> Answer:
    """Take in the whole answer.

    :raises Unavailable: it is longer than any of the controller's.
    """
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Unavailable(f"{response.method} {response.url.path}: an answer without an end")
    return Answer(response.status, body.decode("utf-8", "replace"), _seconds(response.headers.get("Retry-After")))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _sentence(detail: dict[str, Any]) -> str:
    text = str(detail.get("msg", "")).removeprefix("Value error, ") or "The request was refused"
    where = detail.get("loc")
    # "Field required" says nothing without the field's name.
    if detail.get("type") in {"missing", "enum", "string_type"} and isinstance(where, list) and where:
        text = f"{where[-1]}: {text}"
    return text if text.endswith((".", "!", "?")) else f"{text}."
