import random
import threading
from dataclasses import replace

import numpy as np
import pytest

from adapter_runtime import CapacityError, Kind, RejectedAdapter
from tests.engine.living import check_integrity, kept
from tests.engine.workshop import answer
from tests.residency.fakes import join

NUM_THREADS, ROUNDS = 6, 12


class Traffic:
    """Threads that hold, answer, pin, evict, load, read and retire versions of a few tasks.

    Args:
        engine: under test.
        specs: the tasks.
        expected: the answer of each task, by name.
    """

    def __init__(self, engine, specs, expected):
        self.engine, self.specs, self.expected = engine, specs, expected
        self.errors = []
        self.served = 0

    def serve(self, version):
        """Hold, answer, release; there may be no room beside the others."""
        try:
            self.engine.hold(version)
        except CapacityError:
            return
        try:
            found = answer(self.engine, version)
            wanted = self.expected[version.task]
            assert [score.label for score in found] == [score.label for score in wanted]
            gap = [one.score - two.score for one, two in zip(found, wanted, strict=True)]
            assert np.abs(gap).max() < 1e-5
            self.served += 1
        finally:
            self.engine.release(version)

    def reject(self, spec):
        """A version that is refused when it is read."""
        with pytest.raises(RejectedAdapter):
            self.engine.read(replace(spec, kind=Kind.QUESTION_ANSWERING))

    def pin(self, version):
        """A pin that may find no room."""
        try:
            self.engine.pin(version)
        except (CapacityError, RejectedAdapter):
            return
        self.engine.unpin(version)

    def live(self, seed):
        """One thread's versions, from reading to retirement."""
        draw = random.Random(seed)
        try:
            for _ in range(ROUNDS):
                version = self.engine.read(draw.choice(self.specs))
                self.engine.admit(version)
                for act in draw.sample((self.serve, self.serve, self.pin, self.engine.evict), 3):
                    act(version)
                self.reject(version.spec)
                self.engine.retire(version)
        except BaseException as error:
            self.errors.append(error)


@pytest.mark.parametrize("max_slots", (2, 8))
def test_versions_of_many_threads_answer_right_and_leave_nothing(opened, tasks, max_slots):
    """Whatever is held, evicted and retired side by side, every answer is its own version's."""
    engine = opened(max_slots=max_slots)
    begun = kept(engine)
    expected = {}
    for spec in tasks:
        version = engine.prepare(spec)
        expected[spec.name] = answer(engine, version)
        engine.retire(version)
    traffic = Traffic(engine, tasks, expected)
    threads = [threading.Thread(target=traffic.live, args=(seed,)) for seed in range(NUM_THREADS)]
    for thread in threads:
        thread.start()
    while any(thread.is_alive() for thread in threads):
        check_integrity(engine)
        threads[0].join(0.05)
    join(threads)
    assert traffic.errors == []
    assert traffic.served
    assert kept(engine) == begun
    check_integrity(engine)
