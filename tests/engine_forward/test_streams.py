import errno
import os
import subprocess
import sys
import threading

import pytest
import torch

from adapter_runtime.engine.streams import CallerThread, StreamThreads, open_streams


@pytest.fixture(params=(1, 2, 3))
def streams(request):
    """Stream threads, closed after the test."""
    threads = StreamThreads(request.param)
    yield threads
    threads.close()


def test_every_work_runs_single_threaded_off_the_callers_thread(streams):
    """Forwards open no parallel regions, and the caller's own thread count stays."""
    before, seen = torch.get_num_threads(), []
    works = [lambda: seen.append((threading.get_ident(), torch.get_num_threads()))] * 5
    assert [None] * 5 == streams.run(works)
    assert {1} == {count for _, count in seen}
    assert threading.get_ident() not in {thread for thread, _ in seen}
    assert before == torch.get_num_threads()


@pytest.mark.parametrize(("count", "is_own"), ((2, False), (1, True)))
def test_one_work_stays_on_a_single_threaded_caller(streams, count, is_own):
    """Handing it over would cost more than it brings; a caller with many threads hands it over."""
    seen = []

    def call():
        torch.set_num_threads(count)
        streams.run([lambda: seen.append(threading.get_ident())])
        seen.append(threading.get_ident())

    thread = threading.Thread(target=call)
    thread.start()
    thread.join()
    assert (seen[0] == seen[1]) == is_own


def test_works_run_side_by_side():
    """Two works that wait for each other both end."""
    streams, meeting = StreamThreads(2), threading.Barrier(2, timeout=10)
    assert [None, None] == streams.run([meeting.wait, meeting.wait])
    streams.close()


@pytest.mark.parametrize("make", (lambda: StreamThreads(2), CallerThread))
def test_an_error_stays_with_its_work(make):
    """The others end, and the threads live on."""
    streams, error = make(), ValueError("broken")

    def fail():
        raise error

    for _ in range(2):
        assert [None, error, None] == streams.run([lambda: None, fail, lambda: None])
    streams.close()


@pytest.mark.skipif(not hasattr(os, "sched_getaffinity"), reason="the system has no affinity")
@pytest.mark.parametrize("num_more", (0, 1))
def test_streams_keep_to_a_core_each_only_where_every_core_has_one(num_more):
    """Two engines with few streams each must never meet on one core by our choice."""
    cores = os.sched_getaffinity(0)
    streams, seen = StreamThreads(len(cores) + num_more), []
    meeting = threading.Barrier(streams.num_threads, timeout=10)

    def look():
        seen.append(sorted(os.sched_getaffinity(0)))
        meeting.wait()

    streams.run([look] * streams.num_threads)
    streams.close()
    assert (sorted(seen) == [[core] for core in sorted(cores)]) == (num_more == 0)


def test_cuda_has_one_stream_and_cpu_as_many_as_asked_for():
    """The plan of streams is chosen by device."""
    assert 1 == open_streams(torch.device("cuda"), 4).num_threads
    cpu = open_streams(torch.device("cpu"), 3)
    assert 3 == cpu.num_threads
    cpu.close()


COUNTS = """
import threading, torch
from adapter_runtime.engine.streams import StreamThreads

def counts():
    seen = []
    thread = threading.Thread(target=lambda: seen.append(torch.get_num_threads()))
    thread.start()
    thread.join()
    return *seen, {here}

before = counts()
StreamThreads(2).run([lambda: None] * 2)
print(*before, *counts())
"""


@pytest.mark.parametrize("here", ("torch.get_num_threads()", "2"))
def test_other_threads_of_the_process_keep_their_count(here):
    """Those that are there and those to come: a notebook computes with all cores beside us."""
    command = [sys.executable, "-c", COUNTS.format(here=here)]
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ["2"] * 4 == done.stdout.split()


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system has no affinity")
def test_a_core_that_is_no_longer_ours_stops_nobody(monkeypatch):
    """A container may lose cores while it runs; its threads stay where they may be."""

    def refuse(*_):
        raise OSError(errno.EINVAL, "Invalid argument")

    streams = StreamThreads(2)
    monkeypatch.setattr(streams, "_homes", lambda num_works: [0] * num_works)
    monkeypatch.setattr(os, "sched_setaffinity", refuse)
    assert [None, None] == streams.run([lambda: None] * 2)
    streams.close()


def test_closed_streams_refuse_works_at_once():
    """Nobody would come to run them; the caller must not wait for ever."""
    streams = StreamThreads(2)
    streams.close()
    for error in streams.run([lambda: None] * 2):
        assert "open another" in str(error)


OWN = """
import torch
from adapter_runtime.engine.streams import StreamThreads

seen = []
StreamThreads(2).run([lambda: seen.append(torch.get_num_threads())] * 2)
print(*seen)
"""


def test_streams_compute_single_threaded_in_a_process_that_does_not():
    """They had taken over its two threads each at their first operation, and fought for cores."""
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    command = [sys.executable, "-c", OWN]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
    assert ["1", "1"] == done.stdout.split()
