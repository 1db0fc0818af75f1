"""Events between a program and its step, and a program's end when its step is gone."""

import subprocess
import sys
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.events import emit, parse
from infra.settings import ROOT


@given(st.text(), st.dictionaries(st.text(min_size=1), st.integers() | st.text(), max_size=4))
def test_what_is_sent_arrives(kind: str, values: dict[str, Any]) -> None:
    import contextlib
    import io

    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        emit(kind, values=values)
    assert out.getvalue().count("\n") == 1
    assert parse(out.getvalue()) == {"event": kind, "values": values}


@pytest.mark.parametrize("line", ["", "loss 3\n", ' @nightshift {"event": "x"}\n', '{"event": "x"}\n'])
def test_ordinary_output_is_no_event(line: str) -> None:
    assert parse(line) is None


PROGRAM = """
import time
from infra.events import die_with_parent
die_with_parent()
print("up", flush=True)
time.sleep(60)
"""


def test_a_program_ends_when_its_step_is_gone() -> None:
    program = subprocess.Popen(
        [sys.executable, "-c", PROGRAM], cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    assert program.stdin is not None
    assert program.stdout is not None
    assert program.stdout.readline() == "up\n"
    assert program.poll() is None
    program.stdin.close()
    assert program.wait(10) == 75
    program.stdout.close()
