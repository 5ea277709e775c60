"""A spawn, from the controller's promise to the lab's address."""

from __future__ import annotations

from contextlib import aclosing

from .answers import Unavailable, UnknownLab
from .controller import Lab, LabKey
from .events import COMPLETE_PROGRESS, LabEvent, ProgressLog
from .failures import spawn_failed
from .patience import WAITING, Link, Patience

FAILED, OVER, ALIVE = "failed", frozenset({"terminating", "terminated"}), "running"
"""What a controller calls the states of a lab that decide something here."""


async def follow(link: Link, key: LabKey, log: ProgressLog, seconds: float) -> str:
    """Follow the lab until it runs, and return its address.

    A stream that ends says nothing by itself: the lab is asked for, and if it is still on its way, followed again.

    :param log: told what happens on the way.
    :param seconds: how long a controller that does not answer is waited for.
    :raises SpawnException: the lab has failed; with the sentence for the user.
    :raises Unavailable: the controller did not answer in all this time.
    """
    return await _Following(link, key, log).run(Patience(seconds))


class _Following:
    def __init__(self, link: Link, key: LabKey, log: ProgressLog) -> None:
        self._link = link
        self._key = key
        self._log = log
        self._last_id = ""
        self._complaint = ""

    async def run(self, patience: Patience) -> str:
        between = Patience(float("inf"), first=0.2, longest=5.0)
        while True:
            try:
                if await self._read_stream():
                    between.reset()
                lab = await self._link.controller.lab(self._key)
            except UnknownLab:
                raise spawn_failed("DeletedExternally", "The lab was removed while it was starting.") from None
            except Unavailable as error:
                self._log.tell(WAITING)
                await patience.wait(error)
                continue
            patience.reset()
            self._link.recovered()
            if lab.status == ALIVE and lab.internal_url is not None:
                return lab.internal_url
            if lab.status == FAILED or lab.status in OVER:
                raise spawn_failed(*self._reason_of(lab))
            await between.wait(Unavailable("the lab is on its way"))

    async def _read_stream(self) -> int:
        """Tell what the stream says, to its end; returns how many events that was."""
        count = 0
        try:
            async with aclosing(self._link.controller.events(self._key, self._last_id)) as events:
                async for event in events:
                    count += 1
                    self._last_id = event.id
                    self._tell(event)
                    if event.kind in {"complete", "failed"}:
                        break
        except Unavailable:
            # What was cut off in the middle is gone on with at once; what cannot be had at all is waited for.
            if count == 0:
                raise
        return count

    def _tell(self, event: LabEvent) -> None:
        if event.kind == "error":
            self._complaint = event.message
        elif event.kind == "failed":
            # Why is asked for, and told with what can be done about it.
            self._complaint = self._complaint or event.message
        else:
            self._log.tell(event.message, COMPLETE_PROGRESS if event.kind == "complete" else event.progress)

    def _reason_of(self, lab: Lab) -> tuple[str | None, str | None]:
        if lab.status == FAILED:
            return lab.reason, lab.message or self._complaint or None
        if lab.reason is not None:
            return lab.reason, lab.message
        return "DeletedExternally", "The lab was stopped while it was starting."
