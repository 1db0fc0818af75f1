"""A real `nightshift up` in a process and a state folder of its own, for tests: started, stopped, started again."""

import json
import re
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import httpx

from infra.processes import marked
from infra.registry_guard.roles import credentials_path
from infra.settings import ROOT, Settings, child_environment

COMMAND = [sys.executable, "-m", "flows.cli"]


class Up:
    """The servers of one state folder.

    Args:
        folder: holds the state folder ``home`` and what `up` says.
    """

    def __init__(self, folder: Path) -> None:
        self.home = folder / "home"
        self.home.mkdir(exist_ok=True)
        free = [socket.create_server(("127.0.0.1", 0)) for _ in range(3)]
        ports = [one.getsockname()[1] for one in free]
        for one in free:
            one.close()
        names = ("prefect_port", "mlflow_port", "promoter_port")
        named = dict(zip(names, ports, strict=True))
        self.settings = Settings.model_validate({"home": self.home, **named})
        self.environment = child_environment(self.settings)
        self.environment |= {f"NIGHTSHIFT_{name.upper()}": str(port) for name, port in named.items()}
        self.prefect, self.mlflow = (f"http://127.0.0.1:{port}" for port in ports[:2])
        self.passwords: dict[str, str] = {}
        self._log = folder / "up.txt"
        self._process: subprocess.Popen[bytes] | None = None

    def command(self, *words: str, user: str = "") -> str:
        """What `nightshift WORDS` prints, as it is called in another terminal."""
        environment = dict(self.environment)
        if user:
            environment |= {"MLFLOW_TRACKING_USERNAME": user, "MLFLOW_TRACKING_PASSWORD": self.passwords[user]}
        done = subprocess.run(
            [*COMMAND, *words], cwd=ROOT, env=environment, capture_output=True, text=True, timeout=500, check=False
        )
        assert done.returncode == 0, done.stderr[-3000:]
        return done.stdout

    def start(self) -> None:
        with self._log.open("ab") as output:
            self._process = subprocess.Popen(
                [*COMMAND, "up"], cwd=ROOT, env=self.environment, stdout=output, stderr=subprocess.STDOUT
            )
        end = time.monotonic() + 240
        while not self.settings.up_file.exists():
            assert self._process.poll() is None, self._log.read_text()
            assert time.monotonic() < end, self._log.read_text()
            time.sleep(0.3)
        self.passwords |= dict(re.findall(r"^  (admin|approver) +(\S+)$", self._log.read_text(), re.MULTILINE))
        kept = json.loads(credentials_path(self.home).read_text())
        self.passwords |= {name: one["password"] for name, one in kept.items()}

    def stop(self) -> None:
        assert self._process is not None
        self._process.send_signal(signal.SIGINT)
        assert self._process.wait(120) == 0, self._log.read_text()
        assert marked(self.home) == {}

    def ask(self, path: str, who: str = "trainer", **params: Any) -> Any:
        """What MLflow's API answers to this account."""
        login = (who, self.passwords[who])
        answer = httpx.get(f"{self.mlflow}/api/2.0/mlflow/{path}", params=params, auth=login, timeout=60)
        return answer.raise_for_status().json()

    def aliases(self, name: str) -> dict[str, int]:
        found = self.ask("registered-models/get", name=name)["registered_model"].get("aliases", [])
        return {one["alias"]: int(one["version"]) for one in found}

    def tags(self, name: str, version: int) -> dict[str, str]:
        found = self.ask("model-versions/get", name=name, version=version)["model_version"]
        return {one["key"]: one["value"] for one in found.get("tags", [])}
