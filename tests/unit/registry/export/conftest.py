"""One registry for all tests of exports; each exports into a folder of its own."""

from pathlib import Path

import pytest

from infra.objects import Objects, open_objects
from infra.settings import Settings, load_settings
from tests.export_shop import Shop


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    return Shop(tmp_path_factory.mktemp("shop"))


@pytest.fixture
def to(tmp_path: Path, settings: Settings) -> Objects:
    return open_objects(str(tmp_path / "exports"), settings)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return load_settings()


@pytest.fixture
def place(tmp_path: Path, shop: Shop) -> Path:
    """Where version 2 lies after its export, merged."""
    return tmp_path / "exports" / "shop" / f"2-{shop.model.digest.removeprefix('sha256:')[:12]}"
