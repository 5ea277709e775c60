"""Labs of starts that were cancelled."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from weakref import WeakKeyDictionary

from .controller import LabKey

DELAY = 2.0
"""Seconds before anything is removed.

A hub that shuts down cancels all its starts, too, and is gone a moment later: those labs are to be found by the next
hub. One that lives on has begun to stop the lab itself by then, which is fine: removing is idempotent.
"""


@dataclass
class _Abandoned:
    creating: asyncio.Task[None] | None
    timer: asyncio.TimerHandle | None = None
    removing: asyncio.Task[None] | None = None


_of_loop: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[LabKey, _Abandoned]] = WeakKeyDictionary()


def abandon(key: LabKey, creating: asyncio.Task[None] | None, remove: Callable[[], Awaitable[None]]) -> None:
    """Have a lab removed in the background: nobody waits for it any more.

    :param creating: the request to create it, when its answer is not there yet: it may arrive after a removal.
    :param remove: removes it, within a bound of its own; its failure is its own affair.
    """
    loop = asyncio.get_running_loop()
    labs = _of_loop.setdefault(loop, {})
    entry = _Abandoned(creating)

    async def run() -> None:
        await _settled(creating)
        await remove()

    def forget(_removing: asyncio.Task[None]) -> None:
        if labs.get(key) is entry:
            del labs[key]

    def begin() -> None:
        entry.timer = None
        entry.removing = loop.create_task(run(), name="labwright-spawner removal")
        # Not in the task itself: one that is cancelled before its first step does nothing at all.
        entry.removing.add_done_callback(forget)

    entry.timer = loop.call_later(DELAY, begin)
    labs[key] = entry


async def settle(key: LabKey) -> None:
    """Wait until nothing is under way for this lab, so that nothing of it can hit the next one of that name.

    It stays known until then: whoever waits here may be cancelled, too.
    """
    labs = _of_loop.get(asyncio.get_running_loop(), {})
    while (entry := labs.get(key)) is not None:
        if entry.timer is None:
            await _settled(entry.removing)
            continue
        await _settled(entry.creating)
        # The timer may have fired meanwhile.
        if entry.timer is not None:
            # Whatever is there is found by the create, which removes it.
            entry.timer.cancel()
            del labs[key]


async def _settled(task: asyncio.Task[None] | None) -> None:
    if task is not None:
        # Unlike `await task`: how it ended is not raised, only a cancellation of our own.
        await asyncio.wait([task])
