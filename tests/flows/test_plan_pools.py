"""`nightshift plan --pools` on a tiny model: real data steps, a real Prefect server, pools from saved blocks."""

import json
from pathlib import Path

import pytest

from flows.cli import main
from infra.pools.local import LocalPool
from infra.settings import load_settings
from tasks.lm.speed import remember
from tasks.plan.comparison import Comparison

pytestmark = [pytest.mark.usefixtures("prefect_server")]


def test_all_pools_are_compared_without_a_night_and_an_earlier_nights_speed_is_used(
    home: Path, tiny_recipe: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    remember(load_settings().home, "cpu", 1e12, 10.0, 1, None)
    LocalPool(processes=2).save("second", overwrite=True)  # pyright: ignore[reportUnusedCoroutine]
    try:
        assert main(["plan", str(tiny_recipe), "--pools", "all", "--json"]) == 0
        found = Comparison.model_validate(json.loads(capsys.readouterr().out.splitlines()[-1]))
        assert main(["plan", str(tiny_recipe), "--pools", "local/second"]) == 0
        text = capsys.readouterr().out
        assert main(["plan", str(tiny_recipe), "--pools", "moon"]) == 1
        assert "there is no pool 'moon', only " in capsys.readouterr().err
        assert main(["plan", str(tiny_recipe), "--json"]) == 1
        assert "--json goes with --pools" in capsys.readouterr().err
    finally:
        LocalPool.delete("second")  # pyright: ignore[reportUnusedCoroutine]
    lines = {one.name: one for one in found.pools}
    assert {"local", "local/second"} <= set(lines)
    local = lines["local"]
    assert local.runs, local.why
    assert local.memory is not None
    assert local.rate is not None
    assert (local.rate.flops, local.rate.source) == (1e11, "calibrated")
    assert found.cheapest in lines
    assert len(found.methods) == 4
    assert "local/second" in text
    assert "What the method costs, on local/second" in text
    assert not (home / "last-night").exists()
    assert not (home / "work").exists() or not list((home / "work").glob("align-*"))
