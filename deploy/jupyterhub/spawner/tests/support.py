from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Any

from jupyterhub import orm
from jupyterhub.objects import Server

from labwright_spawner import LabwrightSpawner

MakeSpawner = Callable[..., LabwrightSpawner]


def give_row(made: LabwrightSpawner, base_url: str) -> None:
    """The row that a hub writes before it starts a server: without an address."""
    row = orm.Server(proto="http", ip="", port=55555, base_url=base_url, cookie_name="cookie")
    made.orm_spawner.server = row
    made._server = Server(orm_server=row)


def poll_at_start_of_hub(made: LabwrightSpawner) -> asyncio.Task[int | None]:
    """What a hub asks that has just started and finds this server in its database."""
    made._check_pending = True
    return asyncio.ensure_future(made.poll())


async def until(condition: Callable[[], Any], seconds: float = 5.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not come about in time"
        await asyncio.sleep(0.01)
