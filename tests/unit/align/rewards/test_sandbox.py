"""The sandbox for an answer's code: it computes, and whatever else it tries comes to nothing."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

from tasks.align.rewards import sandbox
from tasks.align.rewards.sandbox import passed_share
from tasks.align.rewards.syscalls import filter_for
from tasks.errors import RewardError

ADD = "def add(a, b):\n    return a + b\n"
TESTS = ["assert add(1, 2) == 3", "assert add(-1, 1) == 0"]
# what a test says of the code it ran beside: it passes only where the attempt was refused
REFUSED = ["assert refused, why"]


def attempt(statement: str) -> str:
    """Code that tries something, and remembers whether the kernel said no."""
    return f"""
import ctypes, os, socket, signal, subprocess, pathlib, shutil, threading
refused, why = False, "it worked"
try:
    {statement}
except OSError as error:
    refused, why = error.errno == 1, repr(error)
"""


def test_right_code_passes_all_tests_and_half_right_code_half_of_them() -> None:
    assert passed_share(ADD, TESTS) == 1.0
    assert passed_share("def add(a, b):\n    return 3\n", TESTS) == 0.5
    assert passed_share("def add(a, b)\n", TESTS) == 0.0


def test_code_may_import_and_use_threads() -> None:
    code = "import math, json, collections, threading\nfound = []\n"
    code += "thread = threading.Thread(target=lambda: found.append(math.pi))\nthread.start()\nthread.join()\n"
    assert passed_share(code, ["assert len(found) == 1", "import numpy; assert numpy.ones(3).sum() == 3"]) == 1.0


@pytest.mark.parametrize(
    "statement",
    [
        "socket.socket(socket.AF_INET, socket.SOCK_STREAM)",
        "socket.socket(socket.AF_INET6, socket.SOCK_DGRAM)",
        "socket.socket(socket.AF_UNIX)",
        "socket.create_connection(('127.0.0.1', 1), timeout=1)",
        "os.fork()",
        "subprocess.run(['true'])",
        "os.execv('/bin/true', ['true'])",
        "os.posix_spawn('/bin/true', ['true'], {})",
        "os.kill(os.getppid(), signal.SIGTERM)",
        "os.kill(os.getpid(), 0)",
        "open('/tmp/made-by-an-answer', 'w')",
        "os.open('/dev/null', os.O_RDWR)",
        "os.open('/dev/null', os.O_WRONLY)",
        "os.unlink('/tmp')",
        "os.rename('/tmp', '/tmp2')",
        "os.mkdir('/tmp/made-by-an-answer')",
        "os.chmod('/tmp', 0)",
        "os.symlink('/tmp', '/tmp/made-by-an-answer')",
        "os.setsid()",
        "os.setuid(0)",
        "os.memfd_create('x')",
        "__import__('resource').prlimit(0, 4, (1, 1))",
        "__import__('fcntl').ioctl(0, 0x5412, b'x')",
        # io_uring could open a socket behind the filter's back
        "ctypes.CDLL(None, use_errno=True).syscall(425, 1, 0) == -1 and (_ for _ in ()).throw("
        "OSError(ctypes.get_errno(), 'io_uring'))",
    ],
)
def test_the_kernel_refuses_what_isnt_computing(statement: str) -> None:
    assert passed_share(attempt(statement), REFUSED) == 1.0


def test_a_filter_that_refuses_nothing_would_be_seen() -> None:
    # the same attempt outside: it works, so its refusal inside means something
    names: dict[str, object] = {}
    exec(attempt("socket.socket(socket.AF_INET, socket.SOCK_STREAM).close()"), names)
    assert names["refused"] is False


@pytest.mark.parametrize(
    "code",
    [
        "while True:\n    pass\n",
        "import time\ntime.sleep(60)\n",
        "import signal, time\nfor number in range(1, 65):\n    try:\n        signal.signal(number, signal.SIG_IGN)\n"
        "    except (OSError, ValueError):\n        pass\ntime.sleep(60)\n",
        "import threading, time\nfor _ in range(4):\n    threading.Thread(target=time.sleep, args=(60,)).start()\n",
    ],
)
def test_code_that_hangs_is_killed_at_its_time_limit(code: str) -> None:
    before = {child.pid for child in psutil.Process().children(recursive=True)}
    began = time.monotonic()
    assert passed_share(code, TESTS, seconds=1.0) == 0.0
    assert time.monotonic() - began < 4.0
    assert {child.pid for child in psutil.Process().children(recursive=True)} <= before


def test_code_that_allocates_without_end_runs_out_of_its_own_memory_only() -> None:
    assert passed_share("found = bytearray(3 << 30)\n", ["pass"]) == 0.0
    # the error is Python's, so what stays below the limit still passes
    code = "try:\n    bytearray(3 << 30)\n    big = True\nexcept MemoryError:\n    big = False\n"
    assert passed_share(code, ["assert not big"]) == 1.0


@pytest.mark.parametrize(
    "code",
    [
        "import sys\nsys.exit(0)\n",
        "import os\nos._exit(0)\n",
        "import os\nprint('PASS 2')\nfor out in range(10):\n    try:\n        os.write(out, b'0123 2')\n"
        "    except OSError:\n        pass\nos._exit(0)\n",
        "import builtins\nbuiltins.sum = lambda *_: 2\nbuiltins.dict = lambda *_: {}\nraise KeyboardInterrupt\n",
        "import ctypes\nctypes.string_at(0)\n",
        "def f():\n    f()\nf()\n",
        "import os\nfor out in range(10):\n    try:\n        os.write(out, b'x' * 100_000)\n    except OSError:\n"
        "        pass\nos._exit(0)",
    ],
)
def test_ending_early_printing_a_pass_or_crashing_earns_nothing(code: str) -> None:
    assert passed_share(code, TESTS, seconds=3.0) == 0.0


def test_the_code_sees_nothing_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSHIFT_SECRET", "s3cret")
    code = "import os\nseen = dict(os.environ)\n"
    assert passed_share(code, ["assert 'NIGHTSHIFT_SECRET' not in seen and 'PATH' not in seen"]) == 1.0


def test_the_code_dies_with_who_runs_it() -> None:
    # a trainer that is killed outright can't clean up
    program = (
        "from tasks.align.rewards.sandbox import passed_share\n"
        "passed_share('import time\\ntime.sleep(120)', ['pass'], seconds=120)\n"
    )
    runner = subprocess.Popen([sys.executable, "-c", program], cwd=Path(__file__).parents[4])
    children: list[psutil.Process] = []
    end = time.monotonic() + 60
    while not children and time.monotonic() < end:
        children = [one for one in psutil.Process(runner.pid).children() if "sandbox_program.py" in str(one.cmdline())]
        time.sleep(0.1)
    time.sleep(1.0)  # it holds itself by now
    os.kill(runner.pid, signal.SIGKILL)
    runner.wait()
    assert children
    assert psutil.wait_procs(children, timeout=10)[1] == []


def test_a_machine_that_cant_hold_the_code_runs_none_of_it(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    source = Path(sandbox.__file__).parent
    (tmp_path / "sandbox_program.py").write_text((source / "sandbox_program.py").read_text())
    (tmp_path / "syscalls.py").write_text("def give_up():\n    raise OSError(38, 'no such filter')\n")
    monkeypatch.setattr(sandbox, "_PROGRAM", tmp_path / "sandbox_program.py")
    with pytest.raises(RewardError, match="no such filter") as refused:
        passed_share(ADD, TESTS)
    assert "another reward" in refused.value.do


def test_an_architecture_whose_calls_we_dont_know_is_refused_by_name() -> None:
    with pytest.raises(OSError, match="riscv64"):
        filter_for("riscv64")
    assert len(filter_for("aarch64")) > 100


# ---- the filter's program, run by hand ------------------------------------------------------------------------------

X86 = 0xC000003E
ALLOW, EPERM, ENOSYS = 0x7FFF0000, 0x00050001, 0x00050026


def kernel_says(number: int, *arguments: int, machine: str = "x86_64", arch: int = X86) -> int:
    """What the filter answers to a call, by the rules of classic BPF."""
    words = {0: number, 4: arch}
    for place, value in enumerate(arguments):
        words |= {16 + 8 * place: value & 0xFFFFFFFF, 20 + 8 * place: value >> 32}
    program, at, held = filter_for(machine), 0, 0
    while True:
        what, so, otherwise, value = program[at]
        at += 1
        if what == 0x06:
            return value
        if what == 0x20:
            held = words.get(value, 0)
        else:
            at += so if (held == value if what == 0x15 else held & value) else otherwise


def test_the_filter_says_what_it_should_for_calls_that_a_machine_at_hand_cant_show() -> None:
    assert kernel_says(0) == ALLOW  # read
    assert kernel_says(41, 2, 1) == EPERM  # socket
    assert kernel_says(41 | 0x40000000) == EPERM  # by the x32 numbers
    assert kernel_says(0, arch=0x40000003) == EPERM  # by the 32-bit table, where 0 is another call
    assert kernel_says(257, 0, 0, 0o2000000) == ALLOW  # openat, O_CLOEXEC
    for flag in (os.O_WRONLY, os.O_RDWR, os.O_CREAT, os.O_TRUNC, os.O_APPEND, os.O_TMPFILE):
        assert kernel_says(257, 0, 0, flag) == EPERM
    assert kernel_says(2, 0, 0o2) == EPERM  # open, O_RDWR
    assert kernel_says(56, 0x3D0F00) == ALLOW  # clone of a thread
    assert kernel_says(56, 0x11) == EPERM  # clone as fork does it
    assert kernel_says(435) == ENOSYS  # clone3
    assert kernel_says(302, 0, 4, 0) == ALLOW  # prlimit64 that reads
    assert kernel_says(302, 0, 4, 1) == kernel_says(302, 0, 4, 1 << 32) == EPERM  # and that sets
    assert kernel_says(16, 0, 0x5401) == kernel_says(16, 0, 0x5451) == ALLOW
    assert kernel_says(16, 0, 0x5412) == EPERM  # TIOCSTI types into a terminal
    arm = {"machine": "aarch64", "arch": 0xC00000B7}
    assert kernel_says(63, **arm) == ALLOW
    assert kernel_says(198, 2, 1, **arm) == EPERM  # socket
    assert kernel_says(56, 0, 0, 0o101, **arm) == EPERM  # openat that writes
    assert kernel_says(220, 0x11, **arm) == EPERM  # clone as fork does it
