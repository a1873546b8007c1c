"""KServe's client in an environment of its own, built when it is first needed."""

from __future__ import annotations

import fcntl
import hashlib
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.running import ROOT

_HERE = Path(__file__).parent
_REQUIREMENTS = _HERE / "requirements.txt"
_PLACE = ROOT / ".venv-kserve"
Kserve = Callable[..., Any]


@contextmanager
def kserve_client() -> Iterator[Kserve]:
    """A function that asks with the client; its arguments are a question as `asks.py` reads it."""
    command = [str(_python()), str(_HERE / "asks.py")]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        given, answers = process.stdin, process.stdout

        def ask(**question: Any) -> Any:
            """What the client says."""
            given.write(json.dumps(question) + "\n")
            given.flush()
            return json.loads(answers.readline())

        yield ask
        given.close()
        assert process.wait(20) == 0


def _python() -> Path:
    """That environment's; two test processes do not build it at once."""
    python, mark = _PLACE / "bin" / "python", _PLACE / ".built"
    digest = hashlib.sha256(_REQUIREMENTS.read_bytes() + sys.version.encode()).hexdigest()
    with _REQUIREMENTS.open() as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not mark.exists() or mark.read_text() != digest:
            venv = [sys.executable, "-m", "venv", "--clear", "--without-pip", str(_PLACE)]
            pip = [sys.executable, "-m", "pip", "--python", str(python), "install", "--quiet"]
            pip += ["--no-deps", "--no-compile", "--requirement", str(_REQUIREMENTS)]
            for step in (venv, pip):
                subprocess.run(step, check=True)
            mark.write_text(digest)
    return python
