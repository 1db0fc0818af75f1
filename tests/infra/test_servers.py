"""`nightshift up`: its parts without servers, and its ways to end with real ones."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from infra import processes
from infra.errors import ServerError
from infra.servers import (
    mlflow_command,
    prefect_command,
    refuse_foreign_servers,
    status_page,
    with_urls,
    worker_command,
)
from infra.settings import ROOT, Settings, child_environment, servers_up, up_state

PREFECT, MLFLOW = "NIGHTSHIFT_PREFECT_PORT", "NIGHTSHIFT_MLFLOW_PORT"
PROMOTER = "NIGHTSHIFT_PROMOTER_PORT"


def free_ports() -> tuple[int, int, int]:
    with (
        socket.create_server(("127.0.0.1", 0)) as one,
        socket.create_server(("127.0.0.1", 0)) as two,
        socket.create_server(("127.0.0.1", 0)) as three,
    ):
        return one.getsockname()[1], two.getsockname()[1], three.getsockname()[1]


def settings_in(home: Path, **values: object) -> Settings:
    ports = dict(zip(("prefect_port", "mlflow_port", "promoter_port"), free_ports(), strict=True))
    return Settings.model_validate({"home": home, **ports, **values})


def python(name: str, code: str, settings: Settings) -> processes.Child:
    return processes.start(name, [sys.executable, "-c", code], settings)


def wait_for(asked: processes.Asked, seconds: float = 60) -> None:
    end = time.monotonic() + seconds
    while not asked():
        assert time.monotonic() < end, "waited in vain"
        time.sleep(0.1)


@pytest.fixture
def settings(tmp_path: Path) -> Iterator[Settings]:
    made = settings_in(tmp_path)
    yield made
    processes.stop_all([], made.home)


def test_a_port_in_use_is_refused_by_its_number_and_its_setting(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(ServerError) as refused:
            processes.check_ports(settings_in(tmp_path, mlflow_port=port))
    assert f"port {port}" in refused.value.what
    assert MLFLOW in refused.value.do
    with pytest.raises(ServerError, match="two servers are to use port 4321"):
        processes.check_ports(settings_in(tmp_path, prefect_port=4321, mlflow_port=4321))
    processes.check_ports(settings_in(tmp_path))


def test_an_address_that_is_not_this_machines_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ServerError, match=r"on 192\.0\.2\.1 can't be used"):
        processes.check_ports(settings_in(tmp_path, host="192.0.2.1"))


def test_up_is_refused_where_a_setting_points_to_other_servers(tmp_path: Path) -> None:
    with pytest.raises(ServerError) as refused:
        refuse_foreign_servers(settings_in(tmp_path, prefect_api_url="https://elsewhere/api"))
    assert refused.value.do == "unset NIGHTSHIFT_PREFECT_API_URL"


def test_a_second_up_is_refused_with_the_urls_of_the_first(settings: Settings) -> None:
    with processes.only_one(settings):
        settings.up_file.write_text(up_state("http://one:1", "http://two:2"))
        with pytest.raises(ServerError) as refused, processes.only_one(settings):
            pass
    assert "http://one:1" in refused.value.what
    assert "http://two:2" in refused.value.what
    with processes.only_one(settings):  # let go of again
        pass


def test_servers_listen_on_the_settings_host_only(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, host="10.1.2.3")
    for command in (prefect_command(settings), mlflow_command(settings)):
        assert command[command.index("--host") + 1] == "10.1.2.3"
    assert "--host" not in worker_command()


def test_children_are_pointed_to_the_servers_of_this_up(tmp_path: Path) -> None:
    settings = settings_in(tmp_path, prefect_port=4201, mlflow_port=5001)
    environment = child_environment(with_urls(settings))
    assert environment["PREFECT_API_URL"] == "http://127.0.0.1:4201/api"
    assert environment["MLFLOW_TRACKING_URI"] == "http://127.0.0.1:5001"
    assert environment["PREFECT_HOME"] == str(tmp_path / "prefect")
    assert processes.address(settings_in(tmp_path, host="0.0.0.0"), 4200) == "http://127.0.0.1:4200"


def test_the_status_page_names_every_place_on_a_line_of_its_own(tmp_path: Path) -> None:
    page = status_page(
        settings_in(tmp_path), "http://p:1", "http://m:2", ["nightly/nightly"], {"nightly/nightly": "id7"}
    )
    lines = [line.split() for line in page.splitlines()]
    assert ["nightly/nightly", "http://p:1/deployments/deployment/id7"] in lines
    assert ["MLflow", "http://m:2/"] in lines
    assert ["State", str(tmp_path)] in lines
    assert "Ctrl-C stops all of it." in page


def test_a_child_that_ends_while_starting_is_reported_with_its_log_and_the_next_action(settings: Settings) -> None:
    child = python("mlflow", "print('no such table: runs'); raise SystemExit(3)", settings)
    with pytest.raises(ServerError) as failed:
        processes.wait_ready(child, lambda: False, 30, lambda: False)
    assert "mlflow ended by itself (exit code 3)" in failed.value.what
    assert "no such table: runs" in failed.value.what
    assert str(settings.home / "logs" / "mlflow.log") in failed.value.do


def test_a_child_that_never_answers_is_reported_after_the_time_limit(settings: Settings) -> None:
    child = python("prefect", "import time; print('thinking', flush=True); time.sleep(60)", settings)
    with pytest.raises(ServerError, match="prefect doesn't answer after 2 s"):
        processes.wait_ready(child, lambda: processes.answers("http://127.0.0.1:1/health"), 2, lambda: False)
    processes.stop_all([child], settings.home)


def test_the_log_before_is_kept(settings: Settings) -> None:
    for text in ("first", "second"):
        python("worker", f"print({text!r})", settings).process.wait()
    logs = settings.home / "logs"
    assert (logs / "worker.log").read_text() == "second\n"
    assert (logs / "worker.log.1").read_text() == "first\n"


GRANDCHILD = """
import subprocess, sys, time
deaf = "import signal, time; signal.signal(15, signal.SIG_IGN); print('here', flush=True); time.sleep(600)"
subprocess.Popen([sys.executable, "-c", deaf], start_new_session=True)
time.sleep(600)
"""


def test_stopping_leaves_no_grandchild_even_in_a_session_of_its_own_and_deaf_to_sigterm(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "_SERVER_SECONDS", 1.0)
    child = python("mlflow", GRANDCHILD, settings)
    wait_for(lambda: "here" in child.log.read_text())
    found = processes.marked(settings.home)
    assert len(found) == 2
    assert len({os.getsid(pid) for pid in found}) == 2
    processes.stop_all([child], settings.home)
    assert not any(psutil.pid_exists(pid) for pid in found)


def test_another_folders_processes_are_left_alone(settings: Settings, tmp_path: Path) -> None:
    other = settings_in(tmp_path / "other")
    child = python("mlflow", "import time; time.sleep(60)", other)
    processes.stop_all([], settings.home)
    assert child.process.poll() is None
    processes.stop_all([child], other.home)
    assert child.process.poll() is not None


def test_flow_runs_are_stopped_first_and_their_training_programs_by_them() -> None:
    #        server 10 ← its worker 11;  worker 20 ← flow run 21 ← training 22;  31 lost its parent
    found = {10: 1, 11: 10, 20: 1, 21: 20, 22: 21, 31: 1}
    assert processes.flow_runs(found, [10, 20], worker=20) == [21, 31]


# --- with real servers ---

RUN_UP = """
import sys
from infra.settings import apply_environment, load_settings
settings = load_settings()
apply_environment(settings)
from flows.deployments import Deployed, deploy
from infra.servers import up
from pathlib import Path
code = Path(sys.argv[1])
sys.path.insert(0, str(code))
rows = (Deployed("sleepy:sleepy", "sleepy", one_at_a_time=True),)
sys.exit(up(settings, lambda settings: deploy(settings, rows, code=code)))
"""

SLEEPY = """
import subprocess, sys
from prefect import flow
@flow
def sleepy(seconds: int = 600):
    program = [sys.executable, "-c", f"import time; time.sleep({seconds})"]
    with subprocess.Popen(program, start_new_session=True) as child:
        try:
            child.wait()
        finally:
            child.kill()
"""


class Up:
    def __init__(self, home: Path, settings: Settings, code: Path) -> None:
        self.settings, self.api = settings, f"http://127.0.0.1:{settings.prefect_port}/api"
        ports = {
            PREFECT: str(settings.prefect_port),
            MLFLOW: str(settings.mlflow_port),
            PROMOTER: str(settings.promoter_port),
        }
        self.output = home.parent / f"up-{time.monotonic_ns()}.txt"
        with self.output.open("w") as output:
            self.process = subprocess.Popen(
                [sys.executable, "-c", RUN_UP, str(code)],
                cwd=ROOT,
                env={**child_environment(settings), **ports},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    def ready(self) -> "Up":
        wait_for(lambda: self.is_up() or self.process.poll() is not None, 180)
        assert self.process.poll() is None, self.output.read_text()
        return self

    def is_up(self) -> bool:
        up = servers_up(self.settings)  # not the file alone: a killed `up` leaves its own behind
        return up is not None and up["pid"] == self.process.pid

    def run_sleepy(self) -> str:
        deployment = httpx.get(f"{self.api}/deployments/name/sleepy/sleepy").json()["id"]
        run = httpx.post(f"{self.api}/deployments/{deployment}/create_flow_run", json={}).json()["id"]
        wait_for(lambda: self.state(run) == "Running")
        return run

    def state(self, run: str) -> str:
        return httpx.get(f"{self.api}/flow_runs/{run}", timeout=20).json()["state"]["name"]

    def ended(self) -> int:
        return self.process.wait(90)


def command_of(pid: int) -> list[str]:
    try:
        return psutil.Process(pid).cmdline()
    except psutil.NoSuchProcess:
        return []


@pytest.fixture
def place(tmp_path: Path) -> Iterator[tuple[Path, Settings, Path]]:
    code, home = tmp_path / "code", tmp_path / "home"
    code.mkdir()
    (code / "sleepy.py").write_text(SLEEPY)
    yield home, settings_in(home), code
    processes.stop_all([], home)


@pytest.mark.slow
def test_up_ends_with_nothing_left_however_it_ends(place: tuple[Path, Settings, Path]) -> None:
    """Killed in the middle of a run, stopped by SIGTERM in the middle of a run, and by a server's death."""
    home, settings, _ = place

    # killed: its processes stay, the next `up` stops them and ends the lost run, so that its slot is free
    first = Up(*place).ready()
    lost = first.run_sleepy()
    # a run is Running before its program is: wait for it, so that `before` is all there is
    wait_for(lambda: any("time.sleep" in part for pid in processes.marked(home) for part in command_of(pid)))
    before = set(processes.marked(home))
    first.process.kill()
    assert first.ended() == -signal.SIGKILL
    assert set(processes.marked(home)) == before
    assert len(before) >= 5

    second = Up(*place).ready()
    assert not before & set(processes.marked(home))
    assert "left by a `nightshift up` that was killed" in second.output.read_text()
    assert second.state(lost) == "Crashed"
    assert "Set 1 flow runs to Crashed" in second.output.read_text()

    # a second one beside it is refused, and changes nothing
    beside = Up(home, settings, place[2])
    assert beside.ended() == 1
    assert f"http://127.0.0.1:{settings.prefect_port}" in beside.output.read_text()
    up = servers_up(settings)
    assert up is not None
    assert up["pid"] == second.process.pid

    # SIGTERM while a flow run (with a child in its own session) goes on
    stopped = second.run_sleepy()  # needs the slot that the lost run held
    second.process.terminate()
    assert second.ended() == 0, second.output.read_text()
    assert processes.marked(home) == {}
    assert not settings.up_file.exists()

    # a server's death: everything stops, exit code 1, and the message says which
    third = Up(*place).ready()
    assert third.state(stopped) == "Crashed"  # it could still say so itself
    assert "flow runs to Crashed" not in third.output.read_text()
    mlflow = next(p for p in psutil.Process(third.process.pid).children() if "mlflow" in p.cmdline())
    mlflow.kill()
    assert third.ended() == 1
    assert "mlflow ended by itself (exit code -9)" in third.output.read_text()
    assert processes.marked(home) == {}
    assert not settings.up_file.exists()
