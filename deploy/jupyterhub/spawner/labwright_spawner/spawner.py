"""The spawner: what JupyterHub calls."""

from __future__ import annotations

import asyncio
import os
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from html import escape
from typing import Any, TypeVar
from urllib.parse import urlsplit

from jupyterhub.spawner import Spawner
from traitlets import Dict, Float, Unicode, default

from .abandoned import abandon, settle
from .controller import (
    CONFLICTS,
    HTTP_UNAUTHORIZED,
    Controller,
    Lab,
    LabKey,
    Patience,
    Refusal,
    Timeouts,
    Unavailable,
    UnknownLab,
)
from .events import LabEvent, ProgressLog
from .failures import ASK, explain_refusal, spawn_exception, spawn_failed
from .form import fetch_form, is_option, read_form

T = TypeVar("T")

CREATE_ATTEMPTS = 3
"""How often what stands in the way of a lab is removed."""

TOKEN_ATTEMPTS = 3
"""How often a credential that is refused is read again: it may just be rotating."""

TOKEN_WAIT = 0.5
"""Seconds between that."""

ROUTINE_WAIT = 20.0
"""Longest a poll of a server that is known to run waits, in seconds: the answer would be "it runs" all the same."""

PAGE_WAIT = 8.0
"""Longest a page waits for the form, in seconds."""

COMPLETE_PROGRESS = 90
"""The lab runs; what is left is the hub's: it waits for an answer and adds the route."""

FAILED, OVER, ALIVE = "failed", frozenset({"terminating", "terminated"}), "running"

_outages: set[str] = set()
"""Controllers that do not answer and have been complained about: once each, not once for each server."""


class LabwrightSpawner(Spawner):  # type: ignore[misc]
    """Servers that Labwright runs.

    Everything about a lab is in Labwright. What is here is how a hub waits: for a controller that restarts, for a lab
    that comes up, for one that goes.
    """

    controller_url = Unicode(
        os.environ.get("LABWRIGHT_URL", "http://127.0.0.1:8080/labwright"),
        help="""Address of Labwright, with its path prefix. Default: the environment variable LABWRIGHT_URL.""",
    ).tag(config=True)

    token_path = Unicode(
        os.environ.get("LABWRIGHT_TOKEN_PATH", "/var/run/secrets/labwright/token"),
        help="""File with the hub's own credential for Labwright: a projected service-account token, a hub service's
        token or a static one. It is read again for each call, so that it can be rotated at any time. Default: the
        environment variable LABWRIGHT_TOKEN_PATH.""",
    ).tag(config=True)

    user_token_key = Unicode(
        None,
        allow_none=True,
        help="""Key of the user's own token in the user's auth state, such as `token` or `access_token`. It is used to
        show the form and to create labs. None: the hub's credential is used, on behalf of the user.""",
    ).tag(config=True)

    default_options = Dict(
        help="""What a server is started with when nothing was chosen, as callers of the hub's API do:
        `{"size": "small", "image_class": "recommended"}`.""",
    ).tag(config=True)

    retry_timeout = Float(
        300.0,
        min=0,
        help="""How long a controller is waited for that is down or still reads its cluster, in seconds.""",
    ).tag(config=True)

    connect_timeout = Float(10.0, min=0.1, help="How long a connection may take, in seconds.").tag(config=True)

    request_timeout = Float(60.0, min=0.1, help="How long an answer may take, in seconds.").tag(config=True)

    stop_timeout = Float(
        330.0, min=0.1, help="How long the controller may take to remove a lab, in seconds; 300 or more."
    ).tag(config=True)

    _log: ProgressLog
    _launched = False
    _starting = False
    _url = ""
    _told = 0
    _complaint = ""
    _creating: asyncio.Task[None] | None = None

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self._log = ProgressLog()

    # What JupyterHub's own defaults would be wrong about.

    @default("ip")
    def _all_interfaces(self) -> str:
        return "0.0.0.0"  # noqa: S104 - inside the lab's pod

    @default("port")
    def _lab_port(self) -> int:
        return 8888

    @default("env_keep")
    def _nothing_of_the_hub(self) -> list[str]:
        return []

    @default("start_timeout")
    def _longer_than_a_spawn(self) -> int:
        # Labwright gives up first (lab.spawnTimeout, ten minutes), and says why.
        return 720

    @default("options_form")
    def _form_of_the_controller(self) -> Callable[[Any], Awaitable[str]]:
        return fetch_form

    @default("options_from_form")
    def _form_as_it_comes(self) -> Callable[[dict[str, Any]], dict[str, Any]]:
        return read_form

    @default("apply_user_options")
    def _options_are_the_controllers(self) -> Callable[[Any, Any], None]:
        return lambda _spawner, _options: None

    # State. The controller finds a lab by its user and server; what is kept only says that it once ran.

    def load_state(self, state: dict[str, Any]) -> None:
        """Restore what is known of a server after the hub has restarted."""
        super().load_state(state)
        self._url = str(state.get("url") or "")

    def get_state(self) -> dict[str, Any]:
        """What is to be known after the hub has restarted; nothing secret."""
        state: dict[str, Any] = super().get_state()
        if self._url:
            state["url"] = self._url
        return state

    def clear_state(self) -> None:
        """Forget the server."""
        super().clear_state()
        self._url = ""

    # What JupyterHub calls.

    async def start(self) -> str:
        """Have the lab made and wait until it runs; everything that can fail is in here.

        :returns: the lab's address as hub and proxy reach it.
        :raises SpawnException: with a sentence for the user.
        """
        if self._log.ended:
            self._log = ProgressLog()
        self._launched = self._starting = True
        self._told = 0
        self._complaint = ""
        try:
            await settle(self._lab_key)
            await self._create()
            self._url = await self._follow()
        except asyncio.CancelledError:
            if self._creating is not None:
                abandon(self._lab_key, self._creating, self._remove_quietly)
            raise
        except Unavailable as error:
            self._complain(error)
            raise spawn_exception(
                "The lab controller does not answer.", f"Try again later. {ASK}", "controller_unavailable", 503
            ) from error
        finally:
            self._starting = False
            self._creating = None
            self._log.end()
        return self._url

    async def progress(self) -> AsyncIterator[dict[str, Any]]:
        """What the spawn tells, for any number of readers.

        Why it failed is not in it: that is the exception's, which the hub shows after the last of these.
        """
        async for event in self._log.read():
            yield event

    async def poll(self) -> int | None:
        """Whether the server runs: None, or an exit status.

        It never raises, and it never calls a server dead only because the controller cannot be asked: a hub drops
        servers for either.
        """
        if self._starting:
            return None
        if self.server is None and not self._launched and not self._url:
            return 0
        at_start_of_hub = self.pending == "check"
        wait = self.retry_timeout if at_start_of_hub else min(self.retry_timeout, ROUTINE_WAIT)
        try:
            lab = await self._patiently(lambda: self._controller.lab(self._lab_key), wait)
            if at_start_of_hub and lab.status == "pending":
                lab = await self._outcome_of_interrupted_start()
        except UnknownLab:
            return 0
        except Unavailable as error:
            self._complain(error)
            return None
        if lab.status == FAILED:
            return 1
        return 0 if lab.status in OVER else None

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002, RUF100
        """Remove the lab; returns when it is gone. One that is not there is fine.

        :raises SpawnException: the controller cannot be asked. The next start removes what is left.
        """
        try:
            await self._patiently(lambda: self._controller.delete(self._lab_key), self.retry_timeout)
        except Unavailable as error:
            self._complain(error)
            raise spawn_exception(
                "The lab could not be stopped: the lab controller does not answer.",
                ASK,
                "controller_unavailable",
                503,
            ) from error
        self._url = ""

    async def get_url(self) -> str:
        """The server's address, also that of a lab that came up while the hub was down. It never raises."""
        try:
            lab = await self._patiently(lambda: self._controller.lab(self._lab_key), self._page_wait)
        except (UnknownLab, Unavailable):
            return self._stored_url()
        if lab.status == ALIVE and lab.internal_url is not None:
            self._url = lab.internal_url
        return self._stored_url()

    async def delete_forever(self) -> None:
        """Remove what a server that is deleted for good may have left.

        Volumes that are configured to outlive labs stay: there is no call yet that removes them.
        """
        await self._remove_quietly(self._page_wait)

    # How a lab is made.

    @property
    def _lab_key(self) -> LabKey:
        return LabKey(self.user.name, self.name)

    @property
    def _page_wait(self) -> float:
        return min(PAGE_WAIT, self.retry_timeout)

    @property
    def _controller(self) -> Controller:
        timeouts = Timeouts(self.connect_timeout, self.request_timeout, self.stop_timeout)
        return Controller(self.controller_url, self.token_path, timeouts)

    async def _create(self) -> None:
        options = self._options()
        env = {name: str(value) for name, value in self.get_env().items() if value is not None}
        for attempt in range(CREATE_ATTEMPTS):
            try:
                return await self._create_once(options, env)
            except Refusal as refusal:
                last = attempt == CREATE_ATTEMPTS - 1
                if refusal.code not in CONFLICTS or last:
                    raise explain_refusal(refusal, by_user=self.user_token_key is not None) from refusal
            # The hub has revoked what an earlier lab knows it by: that one is of no use to anybody.
            self._tell("A lab from before is still there. Removing it first.")
            await self._patiently(lambda: self._controller.delete(self._lab_key), self.retry_timeout)
        return None

    async def _create_once(self, options: dict[str, Any], env: dict[str, str]) -> None:
        refused = 0
        patience = Patience(self.retry_timeout)
        while True:
            token = await self._user_token()
            attempt = self._controller.create(self._lab_key, options, env, token)
            self._creating = asyncio.ensure_future(attempt)
            try:
                # A request that has been sent is not taken back by hanging up: its answer is waited for.
                await asyncio.shield(self._creating)
            except Refusal as refusal:
                refused += 1
                if refusal.status != HTTP_UNAUTHORIZED or refused == TOKEN_ATTEMPTS:
                    raise
                await asyncio.sleep(TOKEN_WAIT)
            except Unavailable as error:
                self._tell("The lab controller does not answer at the moment. Waiting for it.")
                await patience.wait(error, random.random())
            else:
                self._recovered()
                return

    async def _follow(self) -> str:
        """Follow the lab until it runs, and return its address.

        A stream that ends says nothing by itself: the lab is asked for, and if it is still on its way, followed again.
        """
        patience = Patience(self.retry_timeout)
        between = Patience(float("inf"), first=0.2, longest=5.0)
        last_id = ""
        while True:
            try:
                read, last_id = await self._read_stream(last_id)
                if read:
                    between.reset()
                lab = await self._controller.lab(self._lab_key)
            except UnknownLab:
                raise spawn_failed("DeletedExternally", "The lab was removed while it was starting.") from None
            except Unavailable as error:
                self._tell("The lab controller does not answer at the moment. Waiting for it.")
                await patience.wait(error, random.random())
                continue
            patience.reset()
            self._recovered()
            if lab.status == ALIVE and lab.internal_url is not None:
                return lab.internal_url
            if lab.status == FAILED or lab.status in OVER:
                raise spawn_failed(*self._reason_of(lab))
            await between.wait(Unavailable("the lab is on its way"), random.random())

    async def _read_stream(self, last_id: str) -> tuple[int, str]:
        """Tell what the stream says, to its end.

        :returns: how many events that was, and the id of the last one.
        """
        count = 0
        try:
            async with aclosing(self._controller.events(self._lab_key, last_id)) as events:
                async for event in events:
                    count += 1
                    last_id = event.id
                    self._tell_event(event)
                    if event.kind in {"complete", "failed"}:
                        break
        except Unavailable:
            # What was cut off in the middle is gone on with at once; what cannot be had at all is waited for.
            if count == 0:
                raise
        return count, last_id

    async def _outcome_of_interrupted_start(self) -> Lab:
        """The lab of a start that a restart of the hub interrupted, once it is decided.

        Its credentials are good: the hub wrote them down before it asked for the lab.
        """
        self.log.info("Waiting for the lab of %s, whose start was interrupted", self._log_name)
        try:
            await asyncio.wait_for(self._follow(), self.start_timeout)
        except (Unavailable, UnknownLab):
            raise
        except Exception as error:  # noqa: BLE001, RUF100 - a deadline, or the lab has failed: the answer below says so
            self.log.warning("The lab of %s did not come up: %s", self._log_name, error)
        return await self._controller.lab(self._lab_key)

    async def _remove_quietly(self, wait: float | None = None) -> None:
        try:
            wait = self.retry_timeout if wait is None else wait
            await self._patiently(lambda: self._controller.delete(self._lab_key), wait)
        except Unavailable as error:
            self._complain(error)

    async def _patiently(self, call: Callable[[], Awaitable[T]], seconds: float) -> T:
        patience = Patience(seconds)
        while True:
            try:
                result = await call()
            except Unavailable as error:
                await patience.wait(error, random.random())
            else:
                self._recovered()
                return result

    async def _user_token(self) -> str | None:
        if self.user_token_key is None:
            return None
        auth_state = await self.user.get_auth_state()
        token = auth_state.get(self.user_token_key) if isinstance(auth_state, dict) else None
        if not isinstance(token, str) or not token:
            raise Refusal(HTTP_UNAUTHORIZED, "no_user_token", "The hub has no token of yours.")
        return token

    def _options(self) -> dict[str, Any]:
        chosen = {name: value for name, value in self.user_options.items() if is_option(name, value)}
        return chosen or dict(self.default_options)

    def _stored_url(self) -> str:
        stored = str(self.server.url) if self.server is not None else ""
        if not self._url:
            return stored
        # With the path and the port written as the hub writes them: it compares texts.
        parts = urlsplit(self._url)
        host = f"[{parts.hostname}]" if ":" in (parts.hostname or "") else parts.hostname
        port = parts.port or (443 if parts.scheme == "https" else 80)
        path = self.server.base_url if self.server is not None else parts.path
        return f"{parts.scheme}://{host}:{port}{path}"

    # What is told, and what is logged.

    def _tell_event(self, event: LabEvent) -> None:
        if event.kind == "error":
            self._complaint = event.message
        elif event.kind == "failed":
            # Why is asked for, and told with what can be done about it.
            self._complaint = self._complaint or event.message
        else:
            self._tell(event.message, COMPLETE_PROGRESS if event.kind == "complete" else event.progress)

    def _tell(self, message: str, progress: int | None = None) -> None:
        self._told = max(self._told, min(progress or 0, COMPLETE_PROGRESS))
        self._log.add({"progress": self._told, "message": message, "html_message": escape(message)})

    def _reason_of(self, lab: Lab) -> tuple[str | None, str | None]:
        if lab.status == FAILED:
            return lab.reason, lab.message or self._complaint or None
        if lab.reason is not None:
            return lab.reason, lab.message
        return "DeletedExternally", "The lab was stopped while it was starting."

    def _complain(self, error: Unavailable) -> None:
        if self.controller_url not in _outages:
            _outages.add(self.controller_url)
            self.log.warning(
                "Labwright at %s does not answer: %s. Servers are taken to be as they were.", self.controller_url, error
            )

    def _recovered(self) -> None:
        if self.controller_url in _outages:
            _outages.discard(self.controller_url)
            self.log.info("Labwright at %s answers again", self.controller_url)
