"""Work that is tried again."""

from __future__ import annotations

import pytest

from deploy.ray_serve.retrying import Lost, Patience, again

QUICK = Patience(tries=3, wait_s=0.001)


class Work:
    """Is lost some times, then says which try it was."""

    def __init__(self, lost: int) -> None:
        self.left = lost
        self.calls = 0

    async def __call__(self) -> int:
        self.calls += 1
        if self.left:
            self.left -= 1
            raise Lost
        return self.calls


@pytest.mark.parametrize(("lost", "answer"), ((0, 1), (1, 2), (2, 3)))
async def test_lost_work_is_tried_again(lost: int, answer: int) -> None:
    """The first try that is not lost answers, and each further one is heard of."""
    heard: list[None] = []
    assert await again(Work(lost), QUICK, 1e9, lambda: heard.append(None)) == answer
    assert len(heard) == lost


async def test_tries_are_bounded() -> None:
    """Work that kills its replica does not kill them all."""
    work = Work(lost=99)
    with pytest.raises(Lost):
        await again(work, QUICK, 1e9, lambda: None)
    assert work.calls == QUICK.tries


async def test_no_try_begins_after_the_deadline() -> None:
    """Where waiting would outlast the deadline, the loss is told at once."""
    work = Work(lost=1)
    with pytest.raises(Lost):
        await again(work, Patience(wait_s=60.0), 10.0, lambda: None, clock=lambda: 0.0)
    assert work.calls == 1


async def test_what_failed_by_itself_is_not_repeated() -> None:
    """An error that the work raised is its answer."""

    async def fail() -> None:
        raise ValueError

    heard: list[None] = []
    with pytest.raises(ValueError):  # noqa: PT011 - any would do
        await again(fail, QUICK, 1e9, lambda: heard.append(None))
    assert not heard
