"""What the transport of a connection sends, and when."""

from __future__ import annotations

import asyncio
from typing import cast

from serving.writing import OneWrite


class Sent:
    """A transport that remembers."""

    def __init__(self) -> None:
        self.seen: list[bytes | str] = []

    def write(self, data: bytes) -> None:
        """Remember it."""
        self.seen.append(data)

    def close(self) -> None:
        """Remember it."""
        self.seen.append("closed")

    def is_closing(self) -> bool:
        """Whether it was closed."""
        return "closed" in self.seen


async def _turns(*, closes: bool) -> tuple[list[bytes | str], bool]:
    sent, loop = Sent(), asyncio.get_running_loop()
    own = OneWrite(cast(asyncio.Transport, sent), loop)
    own.write(b"head ")
    own.write(b"body")
    if closes:
        own.close()
    await asyncio.sleep(0)
    own.write(b"next")
    await asyncio.sleep(0)
    return sent.seen, own.is_closing()


def test_a_head_and_its_body_are_one_write() -> None:
    """The next answer is another."""
    assert asyncio.run(_turns(closes=False)) == ([b"head body", b"next"], False)


def test_what_was_written_is_sent_before_the_end_and_nothing_after_it() -> None:
    """An answer that closes its connection arrives; to a client that has gone nothing is sent."""
    assert asyncio.run(_turns(closes=True)) == ([b"head body", "closed"], True)


def test_long_answers_do_not_wait_for_the_end_of_a_turn() -> None:
    """The transport hears of them while they are written, and can slow the writer."""

    async def write() -> list[bytes | str]:
        sent = Sent()
        own = OneWrite(cast(asyncio.Transport, sent), asyncio.get_running_loop())
        for _ in range(3):
            own.write(b"x" * 50_000)
        return list(sent.seen)

    assert [len(data) for data in asyncio.run(write())] == [100_000]
