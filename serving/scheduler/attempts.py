"""A batch that raises is split until the guilty version stands alone: others are answered."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from adapter_runtime import (
    Arrays,
    CapacityError,
    InvalidInput,
    PolyheadError,
    RunResult,
    TaskVersion,
    VersionFailed,
)
from serving.errors import DeviceFailed
from serving.scheduler.entries import Key, Pick, key_of

RunPicks = Callable[[Sequence[Pick]], RunResult]


@dataclass(frozen=True, slots=True)
class Part:
    """Rows that ran together for the last time: the engine's result, or what it raised."""

    picks: tuple[Pick, ...]
    result: RunResult | None = None
    error: Exception | None = None

    def outcomes(self) -> Sequence[Arrays | Exception]:
        """One outcome for each row."""
        if self.result is not None:
            return self.result.outcomes
        return [self._own_error(pick.entry.version) for pick in self.picks]

    def _own_error(self, version: TaskVersion) -> Exception:
        if isinstance(self.error, PolyheadError):
            return self.error
        return VersionFailed(
            f"Version {version.id} of {version.task} failed in the forward; the server's log has "
            "the reason. Send the request again later, or roll the task back."
        )

    def guilt(self) -> Iterator[tuple[Pick, Exception]]:
        """Each row that failed by its version's fault, and what it met."""
        if self.is_refused or isinstance(self.error, InvalidInput | DeviceFailed):
            return
        for pick, outcome in zip(self.picks, self.outcomes(), strict=True):
            if self.error is not None or isinstance(outcome, VersionFailed):
                assert isinstance(outcome, Exception)
                yield pick, self.error or outcome

    @property
    def is_refused(self) -> bool:
        """Whether there was no room for the rows, which is nobody's fault."""
        return isinstance(self.error, CapacityError)

    @property
    def is_all_failed(self) -> bool:
        """Whether every row failed by what would be its version's fault."""
        if self.result is None:
            return self.is_raised and not isinstance(self.error, InvalidInput)
        return all(isinstance(outcome, VersionFailed) for outcome in self.result.outcomes)

    @property
    def is_raised(self) -> bool:
        """Whether something in it has to be told apart from the rest."""
        return self.error is not None and not self.is_refused


def run_apart(run: RunPicks, picks: Sequence[Pick]) -> Iterator[Part]:
    """Run a batch, and what raised in it in smaller parts, each row in one Part in the end.

    Versions are told apart by halves. Rows of one version are halved too as long as one half can
    run; where both raise, it is the version and no row of it. With n versions of which g are
    guilty, and at most r rows of one, that is no more than 2 g (log n + log r + 2) runs.

    Args:
        run: one batch; may raise.
        picks: its rows.
    """
    part = _attempt(run, picks)
    if not part.is_raised:
        yield part
        return
    versions = _by_version(part.picks)
    if len(versions) == 1:
        yield from _run_rows_apart(run, part)
        return
    middle = len(versions) // 2
    for half in (versions[:middle], versions[middle:]):
        yield from run_apart(run, [pick for rows in half for pick in rows])


def _run_rows_apart(run: RunPicks, failed: Part) -> Iterator[Part]:
    """The rows of one version that raised together."""
    if len(failed.picks) == 1:
        yield failed
        return
    middle = len(failed.picks) // 2
    halves = [_attempt(run, rows) for rows in (failed.picks[:middle], failed.picks[middle:])]
    if all(half.is_raised for half in halves):
        yield failed
        return
    for half in halves:
        yield from _run_rows_apart(run, half) if half.is_raised else (half,)


def _attempt(run: RunPicks, picks: Sequence[Pick]) -> Part:
    try:
        return Part(tuple(picks), run(picks))
    except Exception as error:
        return Part(tuple(picks), error=error)


def _by_version(picks: Sequence[Pick]) -> list[list[Pick]]:
    groups: dict[Key, list[Pick]] = {}
    for pick in picks:
        groups.setdefault(key_of(pick.entry.version), []).append(pick)
    return list(groups.values())
