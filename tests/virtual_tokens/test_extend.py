"""Rows as they run, over random rows and extensions."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from adapter_runtime.engine.extend import extend
from adapter_runtime.types import Row, RowExtension

PAD = 1
BOUNDED = settings(max_examples=100, deadline=None, derandomize=True)
ROWS = st.lists(st.tuples(st.integers(1, 9), st.integers(0, 1)), min_size=1, max_size=8).map(
    lambda pairs: Row(tuple(pair[0] for pair in pairs), tuple(pair[1] for pair in pairs))
)
EXTENSIONS = st.builds(
    RowExtension,
    num_tokens=st.integers(0, 4),
    place=st.integers(0, 1),
    takes_positions=st.booleans(),
    shift=st.integers(0, 3),
    reads_types=st.booleans(),
)


def without_virtual(row, values):
    """What stands in a row beside its virtual tokens."""
    start, count = row.virtual or (0, 0)
    return tuple(values[:start]) + tuple(values[start + count :])


@BOUNDED
@given(ROWS, EXTENSIONS)
def test_a_row_keeps_its_own_tokens(row, extension):
    """Placeholders come in at one place, and everything else stays in order."""
    longer = extend(row, extension)
    assert len(longer.input_ids) == len(row.input_ids) + extension.num_tokens
    assert without_virtual(longer, longer.input_ids) == row.input_ids
    virtual = (extension.place, extension.num_tokens) if extension.num_tokens else None
    assert longer.virtual == virtual
    if extension.reads_types:
        assert without_virtual(longer, longer.type_ids) == row.type_ids
    else:
        assert longer.type_ids is None


@BOUNDED
@given(ROWS, EXTENSIONS)
def test_positions_are_counted_as_the_libraries_count(row, extension):
    """Vectors before the position table are counted like tokens, those behind it are not."""
    longer = extend(row, extension, skipped=PAD)
    if extension.takes_positions:
        assert longer.positions == tuple(
            range(extension.shift, extension.shift + len(longer.input_ids))
        )
        return
    own = without_virtual(longer, longer.positions)
    counted = [place for token, place in zip(row.input_ids, own, strict=True) if token != PAD]
    assert counted == list(range(extension.shift, extension.shift + len(counted)))
    assert all(place == -1 for token, place in zip(row.input_ids, own, strict=True) if token == PAD)


@BOUNDED
@given(ROWS, EXTENSIONS)
def test_no_position_exceeds_what_the_limits_leave(row, extension):
    """The positions that an extension takes are those by which a task's limit shrinks."""
    longer = extend(row, extension)
    assert max(longer.positions) < len(row.input_ids) + extension.num_positions


def test_no_extension_changes_nothing():
    """A row without adapters that extend it runs as it was encoded."""
    row = Row((5, 6), (0, 1), positions=None)
    assert extend(row, None) is row
