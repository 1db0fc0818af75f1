"""Nights whose training is stopped, cut short, or trains the whole model: what is kept, what is said, what goes on."""

import json
import os
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from flows.calls import call_flow
from flows.initial import init_recipe
from flows.nightly import nightly
from infra.jsonl import load_lines
from tasks.data.keys import bucket, prompt_key
from tasks.errors import Unhealthy
from tasks.nights import read_summary
from tasks.registry.steps import registry_of

pytestmark = [pytest.mark.usefixtures("prefect_server")]


def run(recipe: Path, *overrides: str) -> Any:
    return call_flow(nightly, recipe=str(recipe), overrides=list(overrides), fresh=False)


@pytest.fixture
def started(home: Path, tiny_recipe: Path) -> Path:
    init_recipe(str(tiny_recipe), once=False)
    return tiny_recipe


LOOKS = ("phase.0.probe_every=10", "phase.0.probe_tokens=8", "phase.0.checkpoint_every=5")


@pytest.mark.slow
def test_an_unhealthy_night_ends_by_that_name_keeps_its_checkpoint_and_goes_on_with_another_limit(
    started: Path, home: Path
) -> None:
    overrides = [*LOOKS, "phase.0.health.max_kl=0.000001"]
    state = nightly(recipe=str(started), overrides=overrides, fresh=False, return_state=True)
    assert state.name == "Unhealthy"
    assert state.is_failed()
    with pytest.raises(Unhealthy, match=r"kl too large: .*; the checkpoint of step 5 is kept"):
        state.result()
    summary = read_summary(home, "last")
    assert summary["state"] == "Unhealthy"
    assert "kl too large" in summary["reason"]
    assert len(registry_of("tiny").versions()) == 1, "nothing is registered of it"
    kept = list((home / "checkpoints").glob("*/checkpoint-*"))
    assert [path.name for path in kept] == ["checkpoint-5"]

    stale = home / "checkpoints" / "of-a-recipe-that-was-changed"
    (stale / "checkpoint-5").mkdir(parents=True)
    os.utime(stale, (0, 0))

    # the limit is no part of the training's course: with another one it goes on from step 5
    again = run(started, *LOOKS, "phase.0.health.max_kl=50")
    assert again["verdict"] == "PASS", again["reason"]
    assert not list((home / "checkpoints").glob("*/checkpoint-*")), "what was finished needs no checkpoint"
    assert not stale.exists(), "no night goes on from it any more"


@pytest.mark.slow
def test_a_pair_that_breaks_the_training_is_named_and_left_out_of_the_next_night(
    home: Path, tiny_recipe: Path, tiny_model: Path, tmp_path: Path
) -> None:
    # a model that overflows on one word, and one pair that has it in its prompt
    model, tokenizer = AutoModelForCausalLM.from_pretrained(tiny_model), AutoTokenizer.from_pretrained(tiny_model)
    with torch.no_grad():
        embeddings: Any = model.get_input_embeddings()
        embeddings.weight[tokenizer.convert_tokens_to_ids(".")] = 3e38
    model.save_pretrained(tmp_path / "broken")
    tokenizer.save_pretrained(tmp_path / "broken")
    tiny_recipe.write_text(tiny_recipe.read_text().replace(str(tiny_model), str(tmp_path / "broken")))
    source = tmp_path / "pairs.jsonl"
    rows = load_lines(source.read_bytes())
    for row in rows:
        text = f"{row['prompt'][0]['content']} ."
        if bucket(prompt_key(text)) >= 0.4:  # one that is trained on, by the hash of its prompt
            row["prompt"][0]["content"] = text
            break
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    init_recipe(str(tiny_recipe), once=False)
    # every pair is in the training, whichever the seed takes first
    overrides = ("phase.0.probe_every=0", "phase.0.batch_size=4", "phase.0.max_steps=60")
    with pytest.raises(Unhealthy, match=r"not finite: the gradient norm is nan, alone from the pair\(s\) ") as stopped:
        run(tiny_recipe, *overrides)
    quarantine = load_lines((home / "quarantine" / "training.jsonl").read_bytes())
    assert [record["id"] for record in quarantine] == list(stopped.value.pairs)
    assert len(quarantine) == 1
    again = run(tiny_recipe, *overrides)
    assert again["verdict"] in ("PASS", "FAIL", "INCONCLUSIVE")


@pytest.mark.slow
def test_a_night_can_train_the_whole_model(started: Path, home: Path) -> None:
    summary = run(started, "phase.0.adapter=full", "phase.0.learning_rate=0.002", "phase.0.probe_every=0")
    assert summary["verdict"] == "PASS", summary["reason"]
    tags = registry_of("tiny").version(2).tags
    evidence = json.loads(next(Path(home / "mlartifacts").rglob("evidence.json")).read_text())
    assert evidence["model"]["adapter"] is None
    names = {file["path"] for file in evidence["model"]["base"]["files"]}
    assert {"model.safetensors", "config.json", "tokenizer.json"} <= names
    assert tags["approval"] == "requested"
