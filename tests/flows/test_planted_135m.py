"""The demo's data on the 135M model: a good night passes and is approved, flipped pairs and damaged weights fail."""

import csv
import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from flows.calls import call_flow
from flows.initial import init_recipe
from flows.nightly import nightly
from flows.promotion import approve
from infra.settings import ROOT
from infra.store import Store
from tasks.align import made as align_train
from tasks.registry.steps import registry_of

pytestmark = [
    pytest.mark.slow,
    pytest.mark.real_model,
    pytest.mark.timeout(3600),
    pytest.mark.usefixtures("prefect_server"),
]

DEMO = "recipes/demo.toml"


def run(*overrides: str) -> dict[str, Any]:
    return call_flow(nightly, recipe=DEMO, overrides=list(overrides), fresh=False)


def flip(source: Path, target: Path) -> None:
    """Every chosen answer becomes the rejected one and the other way round."""
    target.mkdir()
    for file in source.iterdir():
        if file.name == "conduct.csv":
            with file.open(newline="") as read, (target / file.name).open("w", newline="") as write:
                rows = csv.DictReader(read)
                writer = csv.DictWriter(write, rows.fieldnames or [])
                writer.writeheader()
                writer.writerows({**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows)
        elif file.name == "support.jsonl":
            rows_ = [json.loads(line) for line in file.read_text().splitlines()]
            flipped = [{**row, "chosen": row["rejected"], "rejected": row["chosen"]} for row in rows_]
            (target / file.name).write_text("".join(json.dumps(row) + "\n" for row in flipped))


def test_the_demo_passes_is_approved_and_flipped_or_damaged_nights_fail(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    init_recipe(DEMO, once=False)

    good = run()
    assert good["verdict"] == "PASS", good["reason"]
    assert good["data"]["quarantined"] == len((ROOT / "recipes/demo/odd-rows.jsonl").read_text().splitlines()) - 1
    assert all(suite["n"] >= (100 if suite["name"].startswith("drift-") else 150) for suite in good["suites"])

    flip(ROOT / "recipes" / "demo", tmp_path / "flipped")
    flipped = run(f"sources={tmp_path / 'flipped'}")
    assert flipped["verdict"] == "FAIL", flipped["reason"]

    whole = align_train.store_adapter

    def damaged(folder: Path, name: str, store: Store) -> Any:
        weights = load_file(folder / "adapter_model.safetensors")
        torch.manual_seed(0)
        noise = {key: value + 0.05 * torch.randn_like(value) for key, value in weights.items()}
        save_file(noise, folder / "adapter_model.safetensors")
        return whole(folder, name, store)

    monkeypatch.setattr(align_train, "store_adapter", damaged)
    broken = run("seed=8")
    assert broken["verdict"] == "FAIL", broken["reason"]

    call_flow(approve, version=good["version"], name="demo")
    assert registry_of("demo").alias("champion") == good["version"]
