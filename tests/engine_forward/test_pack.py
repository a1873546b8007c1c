import pytest

from adapter_runtime.backbone.routing import Layout
from adapter_runtime.engine.pack import Job, SharedRow, lay_out, plan_streams, share_rows
from adapter_runtime.types import Leaf, Row

WIDE = 10**6
"""States so wide that attention costs nothing beside the products."""


def shared(lengths, compositions=None):
    """Rows of these lengths; the first token tells them apart."""
    trees = compositions or [None] * len(lengths)
    return [
        SharedRow(Row((number,) * length), tree, (number,))
        for number, (length, tree) in enumerate(zip(lengths, trees, strict=True))
    ]


def by_name(composition):
    """A stand-in for the routers' order."""
    return () if composition is None else (ord(composition.ref),)


def padded_tokens(stream):
    """Tokens of a padded stream, padding included."""
    return lay_out(stream, Layout.PADDED).num_tokens


def test_rows_are_shared_by_tokens_types_and_composition():
    """Anything that could change the states keeps rows apart."""
    one, two = Row((1, 2), (0, 1)), Row((1, 2))
    jobs = [Job(one, None), Job(two, None), Job(one, Leaf("a")), Job(one, None)]
    assert [(0, 3), (1,), (2,)] == [row.jobs for row in share_rows(jobs, has_types=True)]
    assert [(0, 1, 3), (2,)] == [row.jobs for row in share_rows(jobs, has_types=False)]


@pytest.mark.parametrize(
    ("lengths", "num_streams", "expected"),
    (
        ((8, 7, 6, 5, 4), 1, [30]),
        ((8, 7, 6, 5, 4), 2, [13, 17]),
        ((100, 1, 1), 2, [100, 2]),
        ((3,), 2, [3]),
        ((5, 5, 5, 5, 5, 5), 3, [10, 10, 10]),
    ),
)
def test_packed_rows_are_dealt_level_by_tokens(lengths, num_streams, expected):
    """No stream waits long for another, and none is empty."""
    streams = plan_streams(shared(lengths), Layout.PACKED, num_streams, by_name, WIDE)
    assert expected == [sum(row.length for row in stream) for stream in streams]


def test_a_long_row_counts_for_its_attention_too():
    """Beside a row as long as the states are wide, the other stream takes more tokens."""
    streams = plan_streams(shared((64, 16, 16, 16, 16, 16)), Layout.PACKED, 2, by_name, 64)
    assert [64, 80] == [sum(row.length for row in stream) for stream in streams]


def test_a_stream_is_sorted_by_composition():
    """What shares device tables stands together."""
    rows = shared((4, 4, 4, 4), [Leaf("b"), None, Leaf("a"), Leaf("b")])
    (stream,) = plan_streams(rows, Layout.PACKED, 1, by_name, WIDE)
    assert [None, Leaf("a"), Leaf("b"), Leaf("b")] == [row.composition for row in stream]


@pytest.mark.parametrize("num_streams", (1, 2))
@pytest.mark.parametrize("lengths", ((5, 5, 5, 5), (2, 3, 30, 31, 8, 9), tuple(range(1, 40))))
def test_padded_streams_hold_little_padding_and_every_row(lengths, num_streams):
    """Rows of like lengths run together, at most an eighth of a stream is padding."""
    streams = plan_streams(shared(lengths), Layout.PADDED, num_streams, by_name, WIDE)
    assert sorted(lengths) == sorted(row.length for stream in streams for row in stream)
    for stream in streams:
        real = sum(row.length for row in stream)
        assert real >= 0.88 * padded_tokens(stream)


def test_equal_lengths_are_spread_over_the_padded_streams():
    """One long group never leaves a thread idle."""
    streams = plan_streams(shared((10,) * 8), Layout.PADDED, 2, by_name, WIDE)
    assert [4, 4] == sorted(len(stream) for stream in streams)


def test_rows_lie_as_the_layout_says():
    """Packed rows touch; padded rows start at equal distances."""
    rows = shared((3, 1, 2))
    packed, padded = lay_out(rows, Layout.PACKED), lay_out(rows, Layout.PADDED)
    assert ((0, 3, 4), 6) == (packed.starts, packed.num_tokens)
    assert ((0, 3, 6), 9) == (padded.starts, padded.num_tokens)
    assert [0, 0, 0, 1, 1, 1, 2, 2, 2] == padded.token_rows.tolist()
