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


def test_what_was_written_is_sent_before_the_end() -> None:
    """An answer that closes its connection arrives."""
    assert asyncio.run(_turns(closes=True)) == ([b"head body", "closed", b"next"], True)
