"""What the hub asks of Labwright, over HTTP."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from .events import BrokenStreamError, LabEvent, read_events
from .session import shared_session

KEEP_ALIVE_LIMIT = 60.0
"""Seconds of silence after which a stream is dead: the controller says something every fifteen."""

MAX_BODY_BYTES = 4 * 1024 * 1024
LONGEST_RETRY_AFTER = 60.0
"""Longest pause in seconds that a controller can ask for."""

TOKEN_ATTEMPTS = 20
TOKEN_PAUSE = 0.1


class LabKey(NamedTuple):
    """One server of one user; the default server's name is empty."""

    user: str
    server: str


@dataclass(frozen=True)
class Lab:
    """What the controller says about a lab."""

    status: str
    internal_url: str | None
    reason: str | None
    message: str | None


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


@dataclass(frozen=True)
class Timeouts:
    """How long one attempt may take, in seconds."""

    connect: float = 10.0
    request: float = 60.0
    stop: float = 330.0


class _Answer(NamedTuple):
    status: int
    body: str
    retry_after: float | None


class Controller:
    """One controller, as one hub speaks to it. Each call is a single attempt; waiting is the caller's affair."""

    def __init__(self, url: str, token_path: str, timeouts: Timeouts) -> None:
        self._base = f"{url.rstrip('/')}/spawner/v1"
        self._token_path = Path(token_path)
        self._timeouts = timeouts

    async def lab(self, key: LabKey) -> Lab:
        """Ask how the lab is.

        :raises UnknownLab: there is none.
        :raises Unavailable: no other answer counts: it would make the hub drop a server that is alive.
        """
        answer = await self._send("GET", f"{lab_path(key)}?detail=true")
        if answer.status == HTTP_NOT_FOUND and _code(answer) == "unknown_user":
            raise UnknownLab
        state = _json(answer) if answer.status == HTTP_OK else None
        if not isinstance(state, dict) or not isinstance(state.get("status"), str):
            raise _unavailable(answer)
        return Lab(
            status=state["status"],
            internal_url=_text(state.get("internal_url")),
            reason=_text(state.get("reason")),
            message=_text(state.get("message")),
        )

    async def create(
        self, key: LabKey, options: Mapping[str, Any], env: Mapping[str, str], user_token: str | None
    ) -> None:
        """Have the lab made; the promise stands once this returns.

        :param user_token: the user's own credential, in place of the hub's.
        :raises Refusal: with the sentence for the user; its code is ``lab_exists`` or ``operation_in_progress`` when
            there is something to be removed first.
        """
        body = {"options": dict(options), "env": dict(env)}
        with _names_refused():
            path = f"{lab_path(key)}/create"
        answer = await self._send("POST", path, token=user_token, body=body)
        if answer.status != HTTP_CREATED:
            raise _refusal(answer)

    async def delete(self, key: LabKey) -> None:
        """Remove the lab; returns when another one can be made. One that is not there is fine."""
        try:
            path = lab_path(key)
        except UnknownLab:
            return
        answer = await self._send("DELETE", path, seconds=self._timeouts.stop)
        gone = answer.status == HTTP_NOT_FOUND and _code(answer) == "unknown_user"
        if not gone and answer.status // 100 != 2:  # noqa: PLR2004
            raise _unavailable(answer)

    async def form(self, user: str, user_token: str | None) -> str:
        """The user's form, as a fragment of HTML.

        :raises Refusal: with the sentence for the user.
        """
        with _names_refused():
            path = f"lab-form/{_part(user)}"
        answer = await self._send("GET", path, token=user_token)
        if answer.status != HTTP_OK:
            raise _refusal(answer)
        return answer.body

    async def events(self, key: LabKey, last_id: str) -> AsyncGenerator[LabEvent, None]:
        """The events of the lab's current or last operation.

        :param last_id: id of the last event that was read; empty for all of them.
        :raises UnknownLab: there is none.
        :raises Unavailable: also in the middle of it. A stream that just ends says nothing.
        """
        headers = {"Accept": "text/event-stream", "Accept-Encoding": "identity"}
        if last_id:
            headers["Last-Event-ID"] = last_id
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=self._timeouts.connect, sock_read=KEEP_ALIVE_LIMIT)
        async with self._request("GET", f"{lab_path(key)}/events", None, headers=headers, timeout=timeout) as response:
            if response.status != HTTP_OK or response.content_type != "text/event-stream":
                answer = await _read(response)
                if answer.status == HTTP_NOT_FOUND and _code(answer) == "unknown_user":
                    raise UnknownLab
                raise _unavailable(answer)
            async for event in read_events(response.content.iter_any(), last_id):
                yield event

    async def _send(
        self, method: str, path: str, *, token: str | None = None, body: Any = None, seconds: float | None = None
    ) -> _Answer:
        timeout = aiohttp.ClientTimeout(total=seconds or self._timeouts.request, sock_connect=self._timeouts.connect)
        more = {} if body is None else {"json": body}
        async with self._request(method, path, token, timeout=timeout, **more) as response:
            return await _read(response)

    @asynccontextmanager
    async def _request(
        self, method: str, path: str, token: str | None, **more: Any
    ) -> AsyncIterator[aiohttp.ClientResponse]:
        headers = {
            **more.pop("headers", {}),
            "Authorization": f"Bearer {token if token is not None else await self._hub_token()}",
        }
        url = URL(f"{self._base}/{path}", encoded=True)
        try:
            async with shared_session().request(
                method, url, headers=headers, allow_redirects=False, **more
            ) as response:
                yield response
        except (aiohttp.ClientError, BrokenStreamError, OSError, asyncio.TimeoutError) as error:
            # Only the kind and what the system said: the text of some of them repeats headers.
            system = getattr(getattr(error, "os_error", None), "strerror", None)
            what = f"{type(error).__name__} ({system})" if system else type(error).__name__
            raise Unavailable(f"{method} {url.path}: {what}") from error

    async def _hub_token(self) -> str:
        """The hub's credential as the file holds it now: whoever rotates it may be in the middle of that."""
        for _ in range(TOKEN_ATTEMPTS):
            try:
                # A few hundred bytes out of memory: no thread is worth it.
                token = self._token_path.read_text("ascii").strip()
            except (OSError, UnicodeError):
                token = ""
            if token:
                break
            await asyncio.sleep(TOKEN_PAUSE)
        if not token or not token.isprintable() or " " in token:
            raise Unavailable(f"there is no token in {self._token_path}")
        return token


class Patience:
    """How long a controller that does not answer is waited for, and at which pace it is asked again."""

    def __init__(self, seconds: float, *, first: float = 0.25, longest: float = 10.0) -> None:
        self._seconds = seconds
        self._first = first
        self._longest = longest
        self.reset()

    def reset(self) -> None:
        """It has answered."""
        self._since: float | None = None
        self._pause = self._first

    async def wait(self, error: Unavailable, jitter: float) -> None:
        """Wait before the next attempt.

        :param jitter: 0 to 1: where between half the pause and all of it.
        :raises Unavailable: the given one, when all the time has passed.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        left = self._since + self._seconds - now
        if left <= 0:
            raise error
        pause = max(self._pause * (0.5 + jitter / 2), min(error.retry_after or 0, LONGEST_RETRY_AFTER))
        self._pause = min(2 * self._pause, self._longest)
        await asyncio.sleep(min(pause, left))


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


def lab_path(key: LabKey) -> str:
    """The lab's path below the spawner's API."""
    named = f"/servers/{_part(key.server)}" if key.server else ""
    return f"labs/{_part(key.user)}{named}"


def _part(name: str) -> str:
    if name in {"", ".", ".."}:
        # In a path they would mean something else. The controller refuses them, too.
        raise UnknownLab
    return quote(name, safe="")


@contextmanager
def _names_refused() -> Iterator[None]:
    try:
        yield
    except UnknownLab:
        raise Refusal(HTTP_BAD_REQUEST, "invalid_request", "This name cannot have a lab.") from None


async def _read(response: aiohttp.ClientResponse) -> _Answer:
    body = b""
    async for chunk in response.content.iter_any():
        body += chunk
        if len(body) > MAX_BODY_BYTES:
            raise Unavailable(f"{response.method} {response.url.path}: an answer without an end")
    return _Answer(response.status, body.decode("utf-8", "replace"), _seconds(response.headers.get("Retry-After")))


def _seconds(text: str | None) -> float | None:
    return float(text) if text is not None and text.isascii() and text.isdigit() else None


def _json(answer: _Answer) -> Any:
    try:
        return json.loads(answer.body)
    except ValueError:
        return None


def _details(answer: _Answer) -> list[dict[str, Any]]:
    """The controller's errors; whatever stands between it and the hub writes others."""
    document = _json(answer)
    detail = document.get("detail") if isinstance(document, dict) else None
    return [each for each in detail if isinstance(each, dict)] if isinstance(detail, list) else []


def _code(answer: _Answer) -> str:
    return next((str(each.get("type", "")) for each in _details(answer)), "")


def _unavailable(answer: _Answer) -> Unavailable:
    what = _code(answer) or "not Labwright's"
    return Unavailable(f"the answer was {answer.status} ({what})", answer.retry_after)


def _refusal(answer: _Answer) -> ControllerError:
    details = _details(answer)
    transient = answer.status > HTTP_SERVER_ERROR or answer.status in {HTTP_REQUEST_TIMEOUT, HTTP_TOO_MANY_REQUESTS}
    if transient or answer.status < HTTP_BAD_REQUEST or not details:
        return _unavailable(answer)
    sentences = " ".join(dict.fromkeys(_sentence(each) for each in details))
    return Refusal(answer.status, _code(answer), sentences)


def _sentence(detail: dict[str, Any]) -> str:
    text = str(detail.get("msg", "")).removeprefix("Value error, ") or "The request was refused"
    where = detail.get("loc")
    # "Field required" says nothing without the field's name.
    if detail.get("type") in {"missing", "enum", "string_type"} and isinstance(where, list) and where:
        text = f"{where[-1]}: {text}"
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
