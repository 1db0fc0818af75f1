"""Around the training process: what it leaves is whole, says nothing of the machine, and is what was asked for."""

import json
from pathlib import Path

import pytest

from infra.store import Store
from tasks.align.made import store_adapter
from tasks.align.program import check_history
from tasks.errors import ModelError


def test_an_adapters_digest_does_not_depend_on_where_it_was_trained(tmp_path: Path) -> None:
    store = Store(tmp_path / "store")
    trees = []
    for machine in ("one", "two"):
        folder = tmp_path / machine / "adapter"
        folder.mkdir(parents=True)
        (folder / "adapter_model.safetensors").write_bytes(b"weights")
        config = {"r": 8, "base_model_name_or_path": f"/home/{machine}/model"}
        (folder / "adapter_config.json").write_text(json.dumps(config))
        (folder / "README.md").write_text(f"trained on {machine}")
        trees.append(store_adapter(folder, "tiny", store))
    assert trees[0].digest_ == trees[1].digest_
    names = {file.path: file.digest_ for file in trees[0].files}
    assert set(names) == {"adapter_config.json", "adapter_model.safetensors"}
    stored = json.loads(store.open_path(names["adapter_config.json"]).read_text())
    assert stored["base_model_name_or_path"] == "tiny"


def test_a_training_that_left_no_weights_has_failed(tmp_path: Path) -> None:
    (tmp_path / "adapter").mkdir()
    (tmp_path / "adapter" / "adapter_config.json").write_text("{}")
    with pytest.raises(ModelError, match=r"left no adapter_model\.safetensors"):
        store_adapter(tmp_path / "adapter", "tiny", Store(tmp_path / "store"))


def test_a_training_that_logged_fewer_steps_has_failed() -> None:
    check_history([{"step": 1}], 1)
    with pytest.raises(ModelError, match="logged 1 of 2 steps"):
        check_history([{"step": 1}], 2)
