"""What decides a training, its checkpoints and its references is in their keys, and nothing else is."""

import json
from pathlib import Path
from typing import Any

import pytest

from infra.attempts import Device
from infra.digest import digest_of
from infra.store import Tree, TreeFile
from tasks import place
from tasks.align import train
from tasks.align.quarantine import send_to_quarantine
from tasks.contracts import Model, Plan, Preferences
from tasks.plan.steps import _key as decide_key
from tasks.recipe import Recipe, load_recipe

pytestmark = pytest.mark.usefixtures("home")


class Accelerated:
    def device(self) -> Device:
        return Device(pool="local", kind="nvidia-h200", count=1, accelerator=True)


def recipe(**phase: Any) -> Recipe:
    demo = load_recipe(place.ROOT / "recipes" / "demo.toml").model_dump(exclude_unset=True)
    return Recipe.model_validate(demo | {"phase": [{"max_steps": 24, **phase}]})


@pytest.fixture
def base() -> Model:
    names = ("chat_template.jinja", "model.safetensors", "tokenizer.json", "tokenizer_config.json")
    files = tuple(TreeFile(path=name, digest_=digest_of(name), size=1) for name in names)
    return Model(base=Tree(digest_=digest_of(files), files=files))


@pytest.fixture
def preferences(home: Path) -> Preferences:
    store = place.store()
    lines = "".join(json.dumps({"id": f"pair-{number}"}) + "\n" for number in range(5))
    blob = store.put_bytes(lines.encode())
    (home / "docs").mkdir()
    (home / "docs" / "page").write_text("x")
    return Preferences(
        train=blob, house=blob, quarantine=blob, profile=blob, data_docs=store.put_tree(home / "docs"),
        page=blob,
        n_train=5, n_house=0, n_held_out=0, n_quarantined=0, warnings=(),
    )  # fmt: skip


PLAN = Plan(
    train=True, reason="", new_pairs=5, pairs=4, steps=2, memory_bytes=1, seconds=1.0, amount=0.0, currency="EUR"
)


@pytest.mark.parametrize(
    ("phase", "same"),
    [
        ({"learning_rate": 3e-4}, False),
        ({"loss": "ipo"}, False),
        ({"lora": {"dropout": 0.1}}, False),
        ({"health": {"max_kl": 3.0}}, True),
        ({"probe_every": 7}, True),
        ({"max_tokens": 99}, True),
        ({"checkpoint_every": 3}, True),
    ],
    ids=str,
)
def test_a_checkpoint_serves_trainings_of_the_same_course_and_no_other(
    phase: dict[str, Any], same: bool, base: Model, preferences: Preferences
) -> None:
    one, other = (train.course(made, PLAN, preferences, base) for made in (recipe(), recipe(**phase)))
    assert (one == other) == same


def test_only_pairs_of_tonight_that_are_in_quarantine_change_the_course(
    home: Path, base: Model, preferences: Preferences
) -> None:
    before = train.course(recipe(), PLAN, preferences, base)
    send_to_quarantine(home, ["pair-of-another-recipe"], "nan", "night")
    assert train.course(recipe(), PLAN, preferences, base) == before
    send_to_quarantine(home, ["pair-3"], "nan", "night")
    assert train.course(recipe(), PLAN, preferences, base) != before


def test_references_of_weights_held_in_another_way_are_not_mixed(base: Model) -> None:
    on_cpu = place.pool("local")
    pool: Any = Accelerated()
    phases = {name: recipe(adapter=name).phase[0] for name in ("lora", "dora", "qlora", "full")}
    found = {name: train.reference_context(base, phase, pool) for name, phase in phases.items()}
    assert found["lora"] == found["dora"]
    assert len({found["lora"], found["qlora"], found["full"]}) == 3
    assert train.reference_context(base, phases["lora"], on_cpu) not in found.values()
    assert train.reference_context(base, phases["full"], on_cpu) == train.reference_context(
        base, phases["lora"], on_cpu
    ), "a CPU holds all of them in fp32"


def test_how_a_step_is_cut_is_decided_on_anew(base: Model, preferences: Preferences) -> None:
    class Nobody:
        champion = None

    nobody: Any = Nobody()
    keys = [
        digest_of(decide_key(nobody, made, preferences, base, nobody, nobody)[:4])
        for made in (recipe(), recipe(max_tokens=99), recipe(gradient_checkpointing=True), recipe(packing=False))
    ]
    assert len(set(keys)) == 4
