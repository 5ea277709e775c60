"""What the hub asks of Labwright, over HTTP."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator, AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple
from urllib.parse import quote

import aiohttp
from yarl import URL

from .answers import (
    HTTP_BAD_REQUEST,
    HTTP_CREATED,
    HTTP_OK,
    Answer,
    Refusal,
    Unavailable,
    UnknownLab,
    read_answer,
)
from .events import BrokenStreamError, LabEvent, read_events
from .session import shared_session

KEEP_ALIVE_LIMIT = 60.0
"""Seconds of silence after which a stream is dead: the controller says something every fifteen."""

MAX_LAST_CHOICE = 4000
"""Longest text, in characters of the address, that says what was chosen the last time."""

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


@dataclass(frozen=True)
class Timeouts:
    """How long one attempt may take, in seconds."""

    connect: float = 10.0
    request: float = 60.0
    stop: float = 330.0


class Controller:
    """One controller, as one hub speaks to it. Each call is a single attempt; waiting is the caller's affair."""

    def __init__(self, url: str, token_path: str, timeouts: Timeouts) -> None:
        self.url = url
        self._base = f"{url.rstrip('/')}/spawner/v1"
        self._token_path = Path(token_path)
        self._timeouts = timeouts

    async def lab(self, key: LabKey) -> Lab:
        """Ask how the lab is.

        :raises UnknownLab: there is none.
        :raises Unavailable: no other answer counts: it would make the hub drop a server that is alive.
        """
        answer = await self._send("GET", f"{lab_path(key)}?detail=true")
        if answer.knows_no_lab:
            raise UnknownLab
        state = answer.json if answer.status == HTTP_OK else None
        if not isinstance(state, dict) or not isinstance(state.get("status"), str):
            raise answer.as_unavailable()
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
            raise answer.as_refusal()

    async def delete(self, key: LabKey) -> None:
        """Remove the lab; returns when another one can be made. One that is not there is fine."""
        try:
            path = lab_path(key)
        except UnknownLab:
            return
        answer = await self._send("DELETE", path, seconds=self._timeouts.stop)
        if not answer.succeeded and not answer.knows_no_lab:
            raise answer.as_unavailable()

    async def form(self, user: str, user_token: str | None, last: Mapping[str, Any] | None = None) -> str:
        """The user's form, as a fragment of HTML.

        :param last: the options of the user's last server, which are chosen beforehand.
        :raises Refusal: with the sentence for the user.
        """
        with _names_refused():
            path = f"lab-form/{_part(user)}{_last_choice(last)}"
        answer = await self._send("GET", path, token=user_token)
        if answer.status != HTTP_OK:
            raise answer.as_refusal()
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
                answer = await read_answer(response)
                if answer.knows_no_lab:
                    raise UnknownLab
                raise answer.as_unavailable()
            async for event in read_events(response.content.iter_any(), last_id):
                yield event

    async def _send(
        self, method: str, path: str, *, token: str | None = None, body: Any = None, seconds: float | None = None
    ) -> Answer:
        timeout = aiohttp.ClientTimeout(total=seconds or self._timeouts.request, sock_connect=self._timeouts.connect)
        more = {} if body is None else {"json": body}
        async with self._request(method, path, token, timeout=timeout, **more) as response:
            return await read_answer(response)

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


def lab_path(key: LabKey) -> str:
    """The lab's path below the spawner's API."""
    named = f"/servers/{_part(key.server)}" if key.server else ""
    return f"labs/{_part(key.user)}{named}"


def _last_choice(options: Mapping[str, Any] | None) -> str:
    if not options:
        return ""
    text = quote(json.dumps(dict(options), separators=(",", ":"), default=str), safe="")
    # What is longer than any form sends is not worth a request that a proxy may refuse.
    return f"?last={text}" if len(text) <= MAX_LAST_CHOICE else ""


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


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) and value else None
