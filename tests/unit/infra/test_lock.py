"""One night at a time; a killed night's lock is free, and the next one learns of it."""

import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import NightLocked
from infra.lock import night_lock
from infra.settings import ROOT

HOLD = """
import sys, time
from pathlib import Path
from infra.lock import night_lock
with night_lock(Path(sys.argv[1]), {"run": "killed-run"}):
    print("held", flush=True)
    time.sleep(60)
"""


@pytest.fixture
def holder(tmp_path: Path) -> subprocess.Popen[str]:
    process = subprocess.Popen([sys.executable, "-c", HOLD, str(tmp_path)], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    return process


def test_a_second_night_is_refused_and_told_who_holds(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    with pytest.raises(NightLocked, match=f'"pid": {holder.pid}'), night_lock(tmp_path, {}):
        pass
    holder.kill()
    holder.communicate()


def test_a_killed_nights_lock_is_free_and_its_run_is_named(holder: subprocess.Popen[str], tmp_path: Path) -> None:
    holder.kill()
    holder.communicate()
    with night_lock(tmp_path, {"run": "next"}) as before:
        assert before == {"run": "killed-run", "pid": holder.pid}
    with night_lock(tmp_path, {}) as before:
        assert before is None


def test_a_failed_night_lets_go(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="broken"), night_lock(tmp_path, {}):
        raise ValueError("broken")
    with night_lock(tmp_path, {}) as before:
        assert before is None
