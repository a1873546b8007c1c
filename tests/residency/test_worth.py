import pytest

from adapter_runtime.residency.worth import Worth

ROOM = 100 << 20
SMALL, LARGE = 1 << 20, 20 << 20


def order(*uses):
    """The order in which keys leave after these uses of keys; capitals are large."""
    worth = Worth()
    for key in uses:
        size = LARGE if key.isupper() else SMALL
        worth.use(key, size, size / ROOM)
    return "".join(worth.cheapest(dict.fromkeys(uses)))


@pytest.mark.parametrize(
    ("uses", "leave"),
    (
        ("abc", "abc"),
        ("abca", "bca"),
        ("abcab", "cab"),
        ("aabbcc", "abc"),
        ("aaAbb", "Aab"),  # one large one has the room of twenty
        ("Aab", "Aab"),
        ("abAA", "Aab"),
        ("abAAA", "abA"),  # unless it is asked for more often
    ),
)
def test_the_seldom_used_and_the_large_leave_first(uses, leave):
    """Among equals the least recently used is first."""
    assert order(*uses) == leave


def test_favourites_of_yesterday_leave_too():
    """What stays ages with everything that leaves, and only so many uses count."""
    worth = Worth()
    for _ in range(1000):
        worth.use("old", SMALL, 0.01)
    for number in range(200):
        worth.use(str(number), SMALL, 0.01)
        if (gone := next(worth.cheapest(worth._known))) == "old":
            break
        worth.evict(gone)
    assert gone == "old"
    assert number >= 10


def test_what_is_taken_out_by_hand_ages_nobody():
    """Only a lack of room does."""
    worth = Worth()
    for key in "ab":
        worth.use(key, SMALL, 0.01)
    worth.forget("a")
    worth.use("c", SMALL, 0.01)
    worth.use("b", SMALL, 0.01)
    assert list(worth.cheapest("bc")) == ["c", "b"]
