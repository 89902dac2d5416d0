"""A contestant whose battles ask one by one: all requests that wait are answered in one batch."""

from __future__ import annotations

import asyncio
from typing import Any

from poke_bc.play.contestant import Contestant


class Batches:
    """Gathers requests until whatever else has arrived is taken in, and lets the contestant answer them together.

    While it answers, what arrives waits; the busier it is, the larger are its batches.
    """

    def __init__(self, contestant: Contestant) -> None:
        self.contestant = contestant
        self._waiting: list[tuple[Any, asyncio.Future[str]]] = []

    async def choose(self, chair: Any) -> str:
        """The choice for a chair's open request."""
        loop = asyncio.get_running_loop()
        if not self._waiting:
            loop.call_soon(self._answer)  # after all that can be done now
        chosen: asyncio.Future[str] = loop.create_future()
        self._waiting.append((chair, chosen))
        return await chosen

    def _answer(self) -> None:
        waiting, self._waiting = [each for each in self._waiting if not each[1].done()], []
        try:
            choices = self.contestant.answer([chair for chair, _ in waiting])
        except Exception as error:
            for _, chosen in waiting:
                chosen.set_exception(error)
            return
        for (_, chosen), choice in zip(waiting, choices, strict=True):
            chosen.set_result(choice)
