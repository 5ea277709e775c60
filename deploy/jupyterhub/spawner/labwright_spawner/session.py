"""The one HTTP client of a process."""

from __future__ import annotations

import asyncio
from weakref import WeakKeyDictionary

import aiohttp

IDLE_SECONDS = 3.0
"""How long an idle connection is kept: less than servers do, so that none is used while it is being closed."""


class _Shared:
    """A client, and the task that closes it: a hub that shuts down cancels every task and waits for it."""

    def __init__(self) -> None:
        # No limit: each spawn holds a stream. The system's own resolver knows the search domains of a pod.
        connector = aiohttp.TCPConnector(
            limit=0, keepalive_timeout=IDLE_SECONDS, resolver=aiohttp.ThreadedResolver(), ttl_dns_cache=5
        )
        self.session = aiohttp.ClientSession(
            connector=connector, cookie_jar=aiohttp.DummyCookieJar(), headers={"User-Agent": "labwright-spawner"}
        )
        self._closing = asyncio.get_running_loop().create_task(self._close_at_exit(), name="labwright-spawner session")

    async def _close_at_exit(self) -> None:
        try:
            await asyncio.Event().wait()
        finally:
            await self.session.close()


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, _Shared] = WeakKeyDictionary()


def shared_session() -> aiohttp.ClientSession:
    """The client of the running loop, made when it is first asked for."""
    loop = asyncio.get_running_loop()
    shared = _of_loop.get(loop)
    if shared is None or shared.session.closed:
        shared = _of_loop[loop] = _Shared()
    return shared.session
