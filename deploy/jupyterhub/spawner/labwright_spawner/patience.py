"""How a controller that does not answer is waited for."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable
from logging import Logger, LoggerAdapter
from typing import TypeVar

from .answers import Unavailable
from .controller import Controller

T = TypeVar("T")

WAITING = "The lab controller does not answer at the moment. Waiting for it."
"""What a user is told meanwhile."""

LONGEST_RETRY_AFTER = 60.0
"""Longest pause in seconds that a controller can ask for."""


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

    async def wait(self, error: Unavailable) -> None:
        """Wait before the next attempt, somewhere between half the pause and all of it.

        :raises Unavailable: the given one, when all the time has passed.
        """
        now = time.monotonic()
        self._since = now if self._since is None else self._since
        left = self._since + self._seconds - now
        if left <= 0:
            raise error
        pause = max(self._pause * (0.5 + random.random() / 2), min(error.retry_after or 0, LONGEST_RETRY_AFTER))
        self._pause = min(2 * self._pause, self._longest)
        await asyncio.sleep(min(pause, left))


class Link:
    """A controller as a hub holds on to it: asked again while it does not answer, with word of that in the hub's log.

    :param outages: addresses of controllers that do not answer and have been complained about: once each, not once for
        each server.
    """

    def __init__(self, controller: Controller, outages: set[str], log: Logger | LoggerAdapter[Logger]) -> None:
        self.controller = controller
        self._outages = outages
        self._log = log

    async def patiently(self, call: Callable[[Controller], Awaitable[T]], seconds: float) -> T:
        """Ask until there is an answer.

        :raises Unavailable: there was none in all this time.
        """
        patience = Patience(seconds)
        while True:
            try:
                result = await call(self.controller)
            except Unavailable as error:
                await patience.wait(error)
            else:
                self.recovered()
                return result

    def complain(self, error: Unavailable) -> None:
        """Say in the log that it does not answer."""
        url = self.controller.url
        if url not in self._outages:
            self._outages.add(url)
            self._log.warning("Labwright at %s does not answer: %s. Servers are taken to be as they were.", url, error)

    def recovered(self) -> None:
        """Say in the log that it answers again, if there was a complaint."""
        url = self.controller.url
        if url in self._outages:
            self._outages.discard(url)
            self._log.info("Labwright at %s answers again", url)
