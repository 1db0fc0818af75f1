"""Around the training process: what it leaves is whole, says nothing of the machine, and is what was asked for."""

import json
from pathlib import Path

import pytest

from infra.store import Store
from tasks.align.program import check_history, streaming_callback
from tasks.align.train import store_adapter
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


class State:
    is_world_process_zero = True
    global_step = 3


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan"])
def test_a_metric_that_is_no_number_stops_the_training(value: float | str) -> None:
    callback = streaming_callback(10, [])
    with pytest.raises(ModelError, match="training step 3: rewards_margins is not finite"):
        callback.on_log(None, State(), None, {"loss": 0.5, "rewards/margins": value})


def test_each_steps_metrics_are_kept_and_sent(capsys: pytest.CaptureFixture[str]) -> None:
    history: list[dict[str, float]] = []
    streaming_callback(10, history).on_log(None, State(), None, {"loss": 0.5, "rewards/margins": "0.25"})
    assert history == [{"step": 3, "loss": 0.5, "rewards_margins": 0.25}]
    assert '"total": 10' in capsys.readouterr().out
