"""The spawner: what JupyterHub calls."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any
from urllib.parse import urlsplit

from jupyterhub.spawner import Spawner
from traitlets import Dict, Float, Unicode, default

from .abandoned import abandon, settle
from .answers import CONFLICTS, HTTP_UNAUTHORIZED, Refusal, Unavailable, UnknownLab
from .controller import Controller, Lab, LabKey, Timeouts
from .events import ProgressLog
from .failures import ASK, explain_refusal, spawn_exception
from .following import ALIVE, FAILED, OVER, follow
from .form import fetch_form, is_option, read_form
from .patience import WAITING, Link, Patience

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
    def _form_of_the_controller(self) -> Callable[[LabwrightSpawner], Awaitable[str]]:
        return type(self)._fetch_form

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
        try:
            await settle(self._lab_key)
            await self._create()
            self._url = await follow(self._link, self._lab_key, self._log, self.retry_timeout)
        except asyncio.CancelledError:
            if self._creating is not None:
                abandon(self._lab_key, self._creating, self._remove_quietly)
            raise
        except Unavailable as error:
            self._link.complain(error)
            raise _unanswered("The lab controller does not answer.", f"Try again later. {ASK}") from error
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
            lab = await self._ask(wait)
            if at_start_of_hub and lab.status == "pending":
                lab = await self._outcome_of_interrupted_start()
        except UnknownLab:
            return 0
        except Unavailable as error:
            self._link.complain(error)
            return None
        if lab.status == FAILED:
            return 1
        return 0 if lab.status in OVER else None

    async def stop(self, now: bool = False) -> None:  # noqa: ARG002, FBT001, FBT002, RUF100
        """Remove the lab; returns when it is gone. One that is not there is fine.

        :raises SpawnException: the controller cannot be asked. The next start removes what is left.
        """
        try:
            await self._remove(self.retry_timeout)
        except Unavailable as error:
            self._link.complain(error)
            raise _unanswered("The lab could not be stopped: the lab controller does not answer.", ASK) from error
        self._url = ""

    async def get_url(self) -> str:
        """The server's address, also that of a lab that came up while the hub was down. It never raises."""
        try:
            lab = await self._ask(self._page_wait)
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
    def _link(self) -> Link:
        timeouts = Timeouts(self.connect_timeout, self.request_timeout, self.stop_timeout)
        return Link(Controller(self.controller_url, self.token_path, timeouts), _outages, self.log)

    async def _ask(self, wait: float) -> Lab:
        return await self._link.patiently(lambda controller: controller.lab(self._lab_key), wait)

    async def _remove(self, wait: float) -> None:
        await self._link.patiently(lambda controller: controller.delete(self._lab_key), wait)

    async def _fetch_form(self) -> str:
        user_token = None if self.user_token_key is None else self._user_token
        last = _options_of(self.user_options)
        return await fetch_form(self._link, self._lab_key, user_token, self._page_wait, last)

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
            self._log.tell("A lab from before is still there. Removing it first.")
            await self._remove(self.retry_timeout)
        return None

    async def _create_once(self, options: dict[str, Any], env: dict[str, str]) -> None:
        refused = 0
        link, patience = self._link, Patience(self.retry_timeout)
        while True:
            token = None if self.user_token_key is None else await self._user_token()
            attempt = link.controller.create(self._lab_key, options, env, token)
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
                self._log.tell(WAITING)
                await patience.wait(error)
            else:
                link.recovered()
                return

    async def _outcome_of_interrupted_start(self) -> Lab:
        """The lab of a start that a restart of the hub interrupted, once it is decided.

        Its credentials are good: the hub wrote them down before it asked for the lab.
        """
        self.log.info("Waiting for the lab of %s, whose start was interrupted", self._log_name)
        try:
            # Nobody reads of it: the hub shows no progress of a start that is not its own.
            following = follow(self._link, self._lab_key, ProgressLog(), self.retry_timeout)
            await asyncio.wait_for(following, self.start_timeout)
        except (Unavailable, UnknownLab):
            raise
        except Exception as error:  # noqa: BLE001, RUF100 - a deadline, or the lab has failed: the answer below says so
            self.log.warning("The lab of %s did not come up: %s", self._log_name, error)
        return await self._link.controller.lab(self._lab_key)

    async def _remove_quietly(self, wait: float | None = None) -> None:
        try:
            wait = self.retry_timeout if wait is None else wait
            await self._remove(wait)
        except Unavailable as error:
            self._link.complain(error)

    async def _user_token(self) -> str:
        auth_state = await self.user.get_auth_state()
        token = auth_state.get(self.user_token_key) if isinstance(auth_state, dict) else None
        if not isinstance(token, str) or not token:
            raise Refusal(HTTP_UNAUTHORIZED, "no_user_token", "The hub has no token of yours.")
        return token

    def _options(self) -> dict[str, Any]:
        return _options_of(self.user_options) or dict(self.default_options)

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


def _options_of(user_options: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in user_options.items() if is_option(name, value)}


def _unanswered(message: str, advice: str) -> Any:
    return spawn_exception(message, advice, "controller_unavailable", 503)
