"""Server-sent events, as a controller writes them and as a spawn remembers them."""

from __future__ import annotations

import asyncio
import codecs
import json
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from html import escape
from typing import Any

MAX_EVENT_CHARACTERS = 256 * 1024
"""What one event may hold before the stream counts as broken."""

MAX_REMEMBERED = 1000
"""What is kept of one spawn for pages that are opened late."""

COMPLETE_PROGRESS = 90
"""The lab runs; what is left is the hub's: it waits for an answer and adds the route."""


class BrokenStreamError(Exception):
    """What arrives is no event stream."""


@dataclass(frozen=True)
class LabEvent:
    """One event of a lab: ``info``, ``error``, ``complete`` or ``failed``."""

    kind: str
    message: str
    progress: int | None
    id: str


async def read_events(chunks: AsyncIterable[bytes], last_id: str = "") -> AsyncIterator[LabEvent]:
    """Read the events out of the bytes of a stream, however these are cut.

    :param last_id: the id of an event that has none of its own.
    :raises BrokenStreamError: an event is longer than any controller sends.
    """
    decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
    pending = ""
    fields: dict[str, list[str]] = {}
    size = 0
    async for chunk in chunks:
        pending += decoder.decode(chunk)
        # A carriage return at the end may be the first half of a line break.
        complete = pending[:-1] if pending.endswith("\r") else pending
        lines = complete.replace("\r\n", "\n").replace("\r", "\n").split("\n")
        pending = lines.pop() + pending[len(complete) :]
        for line in lines:
            if line:
                size += len(line)
                name, _, value = line.partition(":")
                fields.setdefault(name, []).append(value.removeprefix(" "))
                continue
            size = 0
            last_id = fields.get("id", [last_id])[-1]
            event = _parse(fields, last_id)
            fields = {}
            if event is not None:
                yield event
        if size + len(pending) > MAX_EVENT_CHARACTERS:
            raise BrokenStreamError("an event without an end")


def _parse(fields: dict[str, list[str]], last_id: str) -> LabEvent | None:
    """What a block of fields says; comments and keep-alives say nothing."""
    if "data" not in fields:
        return None
    kind = fields.get("event", ["message"])[-1]
    if kind == "ping":
        return None
    text = "\n".join(fields["data"])
    try:
        data: Any = json.loads(text)
    except ValueError:
        data = None
    if not isinstance(data, dict):
        return LabEvent(kind, text, None, last_id)
    message, progress = data.get("message"), data.get("progress")
    if not isinstance(progress, int) or isinstance(progress, bool):
        progress = None
    return LabEvent(
        kind,
        message if isinstance(message, str) else "",
        None if progress is None else max(0, min(progress, 100)),
        last_id,
    )


@dataclass
class ProgressLog:
    """What one spawn tells its readers, of whom there may be many: each has a place in the list and nothing else."""

    events: list[dict[str, Any]] = field(default_factory=list)
    ended: bool = False
    progress: int = 0
    _changed: asyncio.Event = field(default_factory=asyncio.Event)

    def tell(self, message: str, progress: int | None = None) -> None:
        """Tell the readers a sentence, and how far the spawn has come: never less far than before."""
        self.progress = max(self.progress, min(progress or 0, COMPLETE_PROGRESS))
        self.add({"progress": self.progress, "message": message, "html_message": escape(message)})

    def add(self, event: dict[str, Any]) -> None:
        """Tell the readers something; what is the same as before is told once."""
        if self.ended or (self.events and self.events[-1] == event) or len(self.events) >= MAX_REMEMBERED:
            return
        self.events.append(event)
        self._wake()

    def end(self) -> None:
        """Let the readers go, once they have read what there is."""
        self.ended = True
        self._wake()

    async def read(self) -> AsyncIterator[dict[str, Any]]:
        """Everything from the start, then what comes, until the end."""
        place = 0
        while True:
            changed = self._changed
            while place < len(self.events):
                # A copy, since the hub changes what it is given.
                yield dict(self.events[place])
                place += 1
            if self.ended:
                return
            await changed.wait()

    def _wake(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
