"""Spark asked for where there is none: said at once, with the setting's value and what to do."""

import sys
from pathlib import Path

import pytest

from infra.errors import BadSetting
from infra.settings import load_settings
from infra.store import Store
from tasks.contracts import Snapshot
from tasks.data.spark.engine import open_spark, require
from tasks.data_spec import DataSpec
from tasks.errors import EngineError
from tests.data_place import preferences_of


@pytest.fixture
def _no_pyspark(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.split(".")[0] == "pyspark"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyspark", None)


@pytest.mark.usefixtures("_no_pyspark")
def test_without_pyspark_the_error_names_the_setting_its_value_and_the_next_action(tmp_path: Path) -> None:
    with pytest.raises(
        EngineError, match=r"NIGHTSHIFT_SPARK_MASTER='spark://far:7077'.*pyspark is not installed"
    ) as told:
        require("spark://far:7077")
    assert "pip install" in told.value.do
    assert "unset NIGHTSHIFT_SPARK_MASTER" in told.value.do
    with pytest.raises(EngineError, match="not installed"), open_spark("local[2]", tmp_path):
        pass


@pytest.mark.usefixtures("_no_pyspark")
def test_a_night_that_needs_spark_ends_before_it_computes_anything(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    with pytest.raises(EngineError, match=r"local\[2\]"):
        preferences_of(Snapshot.model_construct(), DataSpec(), tmp_path, (), tmp_path, store, "local[2]")
    assert not store.root.exists()


@pytest.mark.usefixtures("_no_pyspark")
def test_without_the_setting_nothing_of_spark_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NIGHTSHIFT_SPARK_MASTER", raising=False)
    assert load_settings().spark_master is None
    require(None)


@pytest.mark.parametrize("value", ["yes", "sc://host:15002", ""])
def test_what_is_no_spark_master_is_a_bad_setting(value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTSHIFT_SPARK_MASTER", value)
    with pytest.raises(BadSetting, match=f"NIGHTSHIFT_SPARK_MASTER='{value}'"):
        load_settings()
