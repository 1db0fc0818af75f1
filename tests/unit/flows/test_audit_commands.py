"""`nightshift audit` and `nightshift drill`: words, one JSON object, exit codes. No Prefect is needed."""

import json
from pathlib import Path

import pytest

from flows.cli import main
from tests.audited import World


@pytest.fixture(scope="module")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("template")).build()


@pytest.fixture
def world(home: Path, template: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("tasks.registry.auditing._PAUSE", 0.0)
    return World.copied(template, home)


def test_audit_says_what_it_compared_and_ends_well(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 0
    lines = len(world.lines()) + len(world.ledger())
    assert capsys.readouterr().out.strip() == f"no difference: 1 model, 3 versions and {lines} lines compared"


def test_audit_names_a_moved_alias_and_ends_with_one_until_a_person_closes_it(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    world.client.set_registered_model_alias("shop", "champion", "3")
    assert main(["audit", "--name", "shop"]) == 1
    said = capsys.readouterr().out
    assert "CRITICAL  alias  shop" in said
    assert "alias champion of shop points to version 3" in said
    assert "serving of shop is held" in said
    assert main(["audit", "--json"]) == 1
    (found,) = json.loads(capsys.readouterr().out)["findings"]
    assert found["id"] in said
    assert main(["audit", "--close", found["id"]]) == 1
    assert "without a reason" in capsys.readouterr().err
    assert main(["audit", "--close", found["id"], "--reason", "known"]) == 0
    assert "shop is held no more" in capsys.readouterr().out
    assert main(["audit"]) == 0
    assert "accepted  alias  shop" in capsys.readouterr().out


def test_audit_of_a_model_that_is_not_there_names_those_there_are(
    world: World, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["audit", "--name", "shpo"]) == 1
    assert "there are: shop" in capsys.readouterr().err


def test_audit_of_an_empty_home_finds_nothing(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["audit"]) == 0
    assert "0 models, 0 versions and 0 lines" in capsys.readouterr().out


def test_drill_says_how_long_a_rollback_takes(world: World, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["drill", "--name", "shop"]) == 0
    assert "rolling shop back from version 2 to 1 works and takes" in capsys.readouterr().out
    world.client.delete_registered_model_alias("shop", "previous")
    assert main(["drill", "--name", "shop"]) == 1
    assert "nothing to roll back to" in capsys.readouterr().err
