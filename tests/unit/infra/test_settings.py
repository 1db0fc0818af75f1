"""Settings: a bad value names its variable; servers that are gone are not used."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from infra.errors import BadSetting
from infra.settings import (
    Settings,
    environment,
    given_login,
    load_settings,
    prefect_api_url,
    program_environment,
    servers_up,
    tracking_uri,
    up_state,
)


def settings(home: Path, **values: object) -> Settings:
    return Settings.model_validate({"home": home, **values})


def pretend_up(home: Path, **changes: float) -> None:
    state = json.loads(up_state("http://p:1", "http://m:2"))
    (home / "up.json").write_text(json.dumps({**state, **changes}))


@pytest.mark.parametrize(("name", "value"), [("PREFECT_PORT", "70000"), ("MLFLOW_PORT", "five"), ("THREADS", "0")])
def test_a_bad_value_names_its_variable(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"NIGHTSHIFT_{name}", value)
    with pytest.raises(BadSetting, match=f"NIGHTSHIFT_{name}='{value}'"):
        load_settings()


def test_without_servers_mlflow_is_a_file_and_prefect_is_temporary(tmp_path: Path) -> None:
    assert tracking_uri(settings(tmp_path)) == f"sqlite:///{tmp_path}/mlflow.db"
    assert prefect_api_url(settings(tmp_path)) is None
    assert "PREFECT_API_URL" not in environment(settings(tmp_path))


def test_running_servers_are_used(tmp_path: Path) -> None:
    pretend_up(tmp_path)
    assert tracking_uri(settings(tmp_path)) == "http://m:2"
    assert prefect_api_url(settings(tmp_path)) == "http://p:1/api"


def test_servers_whose_process_is_gone_are_not_used(tmp_path: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    pretend_up(tmp_path, pid=gone.pid)
    assert servers_up(settings(tmp_path)) is None
    assert tracking_uri(settings(tmp_path)).startswith("sqlite:///")


def test_a_process_that_only_has_the_same_number_is_no_server(tmp_path: Path) -> None:
    pretend_up(tmp_path, begun=12345.0)
    assert servers_up(settings(tmp_path)) is None


def test_a_given_server_wins_over_the_running_ones(tmp_path: Path) -> None:
    pretend_up(tmp_path)
    ours = settings(tmp_path, mlflow_tracking_uri="http://elsewhere", prefect_api_url="http://there/api")
    assert tracking_uri(ours) == "http://elsewhere"
    assert environment(ours)["PREFECT_API_URL"] == "http://there/api"


def test_children_are_quiet_and_offline(tmp_path: Path) -> None:
    variables = environment(settings(tmp_path))
    assert variables["HF_HUB_OFFLINE"] == "1"
    assert variables["GX_ANALYTICS_ENABLED"] == "false"
    assert variables["MLFLOW_DISABLE_TELEMETRY"] == "true"
    assert variables["PREFECT_SERVER_ANALYTICS_ENABLED"] == "false"


KEYS = {"prefect": "nightshift:a-password"}


def keep_keys(home: Path) -> None:
    (home / "guard").mkdir()
    (home / "guard" / "keys.json").write_text(json.dumps(KEYS))


@pytest.mark.parametrize(
    ("host", "loopback"),
    [("127.0.0.1", True), ("127.8.8.8", True), ("::1", True), ("localhost", True), ("0.0.0.0", False),
     ("10.0.0.4", False), ("::", False), ("example.org", False), ("localhost.example.org", False)],
)  # fmt: skip
def test_prefects_api_has_a_password_wherever_other_machines_can_reach_it(
    tmp_path: Path, host: str, loopback: bool
) -> None:
    keep_keys(tmp_path)
    found = environment(settings(tmp_path, host=host))
    for name in ("PREFECT_API_AUTH_STRING", "PREFECT_SERVER_API_AUTH_STRING"):
        assert found.get(name) == (None if loopback else KEYS["prefect"])


def test_programs_are_started_without_what_logs_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    keep_keys(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "another password")
    found = program_environment(settings(tmp_path, host="10.0.0.4"))
    assert not any("password" in value for value in found.values())
    assert found["NIGHTSHIFT_HOME"] == str(tmp_path)


def test_the_login_of_mlflows_own_variables_needs_both(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MLFLOW_TRACKING_USERNAME", raising=False)
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "x")
    assert given_login() is None
    monkeypatch.setenv("MLFLOW_TRACKING_USERNAME", "ann")
    assert given_login() == ("ann", "x")
