"""A program's own peak of memory."""

import subprocess
import sys

from infra.memory import peak_memory
from infra.settings import ROOT

SMALL = "from infra.memory import peak_memory; print(peak_memory())"
LARGE = "from infra.memory import peak_memory; b = bytearray(b'x') * 300_000_000; del b; print(peak_memory())"


def asked(code: str) -> int:
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    return int(done.stdout)


def test_the_peak_stays_when_memory_is_given_back_and_is_not_that_of_who_started_the_program() -> None:
    held = bytearray(b"x") * 400_000_000  # this process is large while it starts the others
    assert peak_memory() > len(held)
    assert asked(SMALL) < 200_000_000
    assert 300_000_000 < asked(LARGE) < 390_000_000
