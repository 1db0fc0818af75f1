"""A small audited world, built once and copied for each test."""

from pathlib import Path

import pytest

from tests.audited import World


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("template")).build()


@pytest.fixture
def world(tmp_path: Path, template: World, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr("tasks.registry.auditing._PAUSE", 0.0)
    return World.copied(template, tmp_path)
