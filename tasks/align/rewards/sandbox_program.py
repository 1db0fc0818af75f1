"""Program: run an answer's code and its tests, with everything given up before. ``python -I sandbox_program.py``.

Told on stdin, as JSON: {code, tests, word, memory, seconds}. Says on stdout "WORD N", N tests passed; nothing where the
code ended the process. Says "refused: why" where the process can't be held. Imports nothing of ours but ``syscalls``.
"""

import ctypes
import importlib.util
import json
import math
import os
import resource
import signal
import sys
from pathlib import Path
from typing import Any

_DIE_WITH_PARENT = 1  # prctl's PR_SET_PDEATHSIG


def main() -> None:
    told = json.loads(sys.stdin.buffer.read())
    out = os.dup(1)
    try:
        _hold(told["memory"], told["seconds"])
    except OSError as error:
        os.write(out, f"refused: {error.strerror or error}".encode())
        return
    passed = run(told["code"], told["tests"])
    os.write(out, f"{told['word']} {passed}".encode())


def run(code: str, tests: list[str]) -> int:
    """How many tests pass."""
    answer: dict[str, Any] = {"__name__": "answer"}
    if not _runs(code, answer):
        return 0
    return sum(_runs(test, dict(answer)) for test in tests)


def _runs(code: str, names: dict[str, Any]) -> bool:
    try:
        exec(compile(code, "answer", "exec"), names)
    except BaseException:  # noqa: BLE001 - also sys.exit() and KeyboardInterrupt: whatever it raises, it didn't pass
        return False
    return True


def _hold(memory: int, seconds: float) -> None:
    """Limits and filter, in this order: once the filter holds, limits can't be set any more."""
    ctypes.CDLL(None).prctl(_DIE_WITH_PARENT, signal.SIGKILL, 0, 0, 0)
    null = os.open(os.devnull, os.O_RDWR)
    for stream in (0, 1, 2):
        os.dup2(null, stream)
    cpu = math.ceil(seconds) + 1
    for limit, most in (
        (resource.RLIMIT_AS, memory),
        (resource.RLIMIT_CPU, cpu),
        (resource.RLIMIT_FSIZE, 0),
        (resource.RLIMIT_CORE, 0),
        (resource.RLIMIT_NOFILE, 64),
    ):
        resource.setrlimit(limit, (most, most))
    _syscalls().give_up()


def _syscalls() -> Any:
    """The module beside this file; -I leaves its folder out of where Python looks."""
    spec = importlib.util.spec_from_file_location("syscalls", Path(__file__).with_name("syscalls.py"))
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    main()
