from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Iterable
from itertools import pairwise

import pytest

from labwright_spawner.events import BrokenStreamError, LabEvent, ProgressLog, read_events

STREAM = (
    b'id: s.1\r\nevent: info\r\ndata: {"message": "Starting lab creation for ada", "progress": 1}\r\n\r\n'
    b": keep-alive\r\n\r\n"
    b'id: s.2\r\nevent: info\r\ndata: {"message": "Gr\\u00fc\xc3\x9fe \xf0\x9f\x90\xa7"}\r\n\r\n'
    b"event: ping\ndata: now\n\n"
    b'id: s.3\nevent: complete\ndata: {"message": "up"}\n\n'
)
EVENTS = [
    LabEvent("info", "Starting lab creation for ada", 1, "s.1"),
    LabEvent("info", "Grüße 🐧", None, "s.2"),
    LabEvent("complete", "up", None, "s.3"),
]


async def chunks(parts: Iterable[bytes]) -> AsyncIterator[bytes]:
    for part in parts:
        yield part


async def read(*parts: bytes) -> list[LabEvent]:
    return [event async for event in read_events(chunks(parts))]


async def test_reads_events_however_the_bytes_are_cut() -> None:
    assert await read(STREAM) == EVENTS
    assert await read(*(STREAM[at : at + 1] for at in range(len(STREAM)))) == EVENTS
    dice = random.Random(7)
    for _ in range(50):
        cuts = sorted(dice.sample(range(len(STREAM)), 6))
        edges = [0, *cuts, len(STREAM)]
        assert await read(*(STREAM[a:b] for a, b in pairwise(edges))) == EVENTS


async def test_takes_an_event_that_is_cut_off_for_none() -> None:
    assert await read(STREAM[:-2]) == EVENTS[:2]


@pytest.mark.parametrize(
    ("data", "message", "progress"),
    [
        ("no json", "no json", None),
        ("[1]", "[1]", None),
        ('{"message": 5, "progress": "9"}', "", None),
        ('{"message": "x", "progress": true}', "x", None),
        ('{"message": "x", "progress": 1000, "more": 1}', "x", 100),
        ('{"message": "x", "progress": -3}', "x", 0),
    ],
)
async def test_makes_the_best_of_strange_data(data: str, message: str, progress: int | None) -> None:
    assert await read(f"event: info\ndata: {data}\n\n".encode()) == [LabEvent("info", message, progress, "")]


async def test_gives_up_on_an_event_without_an_end() -> None:
    for endless in (b"x" * 1000, b"data: x" * 100 + b"\n"):
        with pytest.raises(BrokenStreamError):
            await read(*([endless] * 1000))


async def test_tells_every_reader_everything_once_whenever_it_comes() -> None:
    log = ProgressLog()
    log.add({"message": "one"})

    async def listen() -> list[dict[str, str]]:
        return [event async for event in log.read()]

    early = [asyncio.ensure_future(listen()) for _ in range(3)]
    await asyncio.sleep(0)
    log.add({"message": "two"})
    log.add({"message": "two"})
    await asyncio.sleep(0)
    late = asyncio.ensure_future(listen())
    await asyncio.sleep(0)
    log.add({"message": "three"})
    log.end()
    log.add({"message": "after the end"})
    for reader in (*early, late):
        assert [event["message"] for event in await reader] == ["one", "two", "three"]
    assert len(await listen()) == 3


async def test_gives_each_reader_events_of_its_own_to_change() -> None:
    log = ProgressLog()
    log.add({"message": "one", "ready": True})
    log.end()
    async for event in log.read():
        event.clear()
    assert [event async for event in log.read()] == [{"message": "one", "ready": True}]
