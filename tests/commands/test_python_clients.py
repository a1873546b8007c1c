"""Clients that people have, with a key, under TLS."""

from __future__ import annotations

import os
import ssl
import subprocess
import sys

import httpx

from tests.commands.conftest import Secured
from tests.running import ROOT


def test_known_clients_ask_with_a_key_under_tls(secured: Secured) -> None:
    """One variable says whom to trust; each has its own way to show a key."""
    trust = ssl.create_default_context(cafile=secured.authority.file)
    secret = secured.keys.secrets["topics"]
    described = httpx.get(f"{secured.url}/tasks/topic", verify=trust, headers={"x-api-key": secret})
    variables = {
        "TASK_VERSION": described.json()["version"],
        "URL": secured.url,
        "KEY": secret,
        "SSL_CERT_FILE": secured.authority.file,
    }
    done = subprocess.run(
        [sys.executable, "-m", "tests.commands.python_clients"],
        cwd=ROOT,
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    label, of_version, models, status = done.stdout.splitlines()
    assert label == of_version
    assert (models, status) == ("['topic']", "200")
