"""An answer's code against tests, in a process of its own that can reach nothing and is killed at its time limit.

What holds it: no environment, no network nor any socket, no other process, no file written (``syscalls``); limits on
memory and CPU (``sandbox_program``); one wall clock, from outside. It can read what this user can, and has nowhere to
take it. Printing a pass, exiting early or patching builtins earns nothing: only the runner knows the word that counts.
Code that searches the runner's frames for that word could forge it (docs/design/online.md).
"""

import json
import os
import re
import secrets
import selectors
import signal
import subprocess
import sys
import time
from pathlib import Path

from tasks.errors import RewardError

SECONDS = 5.0  # of wall clock
MEMORY = 512 << 20  # bytes of address space

_PROGRAM = Path(__file__).with_name("sandbox_program.py")
_MOST_SAID = 4096


def passed_share(code: str, tests: list[str], *, seconds: float = SECONDS, memory: int = MEMORY) -> float:
    """The share of tests that pass; 0 where the code doesn't run, exits, or takes too long or too much.

    Raises:
        RewardError: this machine can't hold such a process, so nothing was run.
    """
    word = secrets.token_hex(16)
    told = {"code": code, "tests": tests, "word": word, "memory": memory, "seconds": seconds}
    said = _said(json.dumps(told).encode(), seconds)
    if said.startswith("refused: "):
        raise RewardError(
            f"the reward 'unit_tests' runs code of the model, and this machine can't hold it: {said[9:]}",
            do="choose a pool of Linux machines (x86-64 or arm64, seccomp), or another reward",
        )
    found = re.fullmatch(rf"{word} (\d+)", said)
    return int(found[1]) / len(tests) if found else 0.0


def _said(told: bytes, seconds: float) -> str:
    """What the program said before it ended, or was killed with all that belongs to it."""
    # without -S: what is installed here can be imported
    process = subprocess.Popen(
        [sys.executable, "-I", "-B", str(_PROGRAM)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        cwd="/",
        env={"OPENBLAS_NUM_THREADS": "1", "LC_ALL": "C.UTF-8"},
        start_new_session=True,
    )
    assert process.stdin is not None
    assert process.stdout is not None
    end = time.monotonic() + seconds
    said = b""
    try:
        # the program reads all of it before anything else, so this never waits for long
        process.stdin.write(told)
        process.stdin.close()
        with selectors.DefaultSelector() as selector:
            selector.register(process.stdout, selectors.EVENT_READ)
            while len(said) < _MOST_SAID and selector.select(max(0.0, end - time.monotonic())):
                more = os.read(process.stdout.fileno(), _MOST_SAID)
                if not more:
                    break
                said += more
    except BrokenPipeError:
        pass  # it ended before it was told: it has said nothing
    finally:
        _kill(process)
        process.stdout.close()
    return said.decode("utf-8", "replace")


def _kill(process: "subprocess.Popen[bytes]") -> None:
    """The whole group, though it can have no children: the filter may be wrong, and this costs nothing."""
    if process.poll() is None:
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()
