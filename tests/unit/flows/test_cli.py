"""The command: quick to answer, one readable error, and each command calls one function."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from flows.cli import COMMANDS, main, parser
from flows.roots import check_one_root
from infra.errors import BadSetting
from infra.settings import ROOT


def test_help_answers_in_under_a_second() -> None:
    begun = time.monotonic()
    shown = subprocess.run(
        [sys.executable, "-m", "flows.cli", "--help"], cwd=ROOT, capture_output=True, text=True, check=True
    )
    assert time.monotonic() - begun < 1.0
    for command in COMMANDS:
        assert command in shown.stdout


def test_help_imports_none_of_the_slow_libraries() -> None:
    code = (
        "import sys; from flows.cli import parser; parser().format_help(); "
        "print(sorted({'prefect', 'mlflow', 'torch', 'trl', 'pydantic'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"


def test_an_error_is_one_message_with_the_next_action_and_exit_code_one(
    home: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["show", "last"]) == 1
    said = capsys.readouterr().err
    assert "no night yet" in said
    assert "-> run `nightshift run" in said
    assert "Traceback" not in said


def test_a_bad_setting_is_named_with_its_value(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("NIGHTSHIFT_MLFLOW_PORT", "banana")
    assert main(["doctor"]) == 1
    assert "NIGHTSHIFT_MLFLOW_PORT='banana'" in capsys.readouterr().err


def test_every_command_of_the_parser_has_a_function_and_no_more() -> None:
    commands = next(action for action in parser()._actions if hasattr(action, "choices") and action.choices)
    assert set(commands.choices or ()) == set(COMMANDS)


def test_a_package_from_another_checkout_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadSetting, match="the package flows is imported from"):
        check_one_root(tmp_path)
    check_one_root()
