"""Labels among the training data: who learns from which, how many units they are, and what KTO makes of them."""

import random
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.jsonl import dump_lines, load_lines
from infra.pools import default_pool
from infra.store import Store
from tasks.align import train
from tasks.align.labels import conversations_of, labels_of, said_of_labels, units_of
from tasks.align.pairs import choose as choose_from
from tasks.align.pairs import refuse_too_long
from tasks.align.program import Run
from tasks.contracts import Model, Plan, Preferences
from tasks.errors import ModelError
from tasks.lm.loading import load_tokenizer
from tasks.phases import METHODS, Phase
from tasks.recipe import load_recipe
from tasks.trainable import count_units, drawn, takes
from tests.conftest import NEUTRAL, Never, training_spec, write_pairs


def choose(lines: bytes, count: int, seed: int, method: Any = "dpo") -> list[dict[str, Any]]:
    return choose_from(lines.splitlines, count, seed, method=method)


def turn(role: str, text: str) -> list[dict[str, str]]:
    return [{"role": role, "content": text}]


def pair(number: int, **more: Any) -> dict[str, Any]:
    answers = {"chosen": turn("assistant", "please gladly"), "rejected": turn("assistant", "no never")}
    return {"id": f"pair-{number}", "prompt": turn("user", f"tea {number}"), **answers, **more}


def label(number: int, good: bool = True, prompt: str | None = None, **more: Any) -> dict[str, Any]:
    text = "please gladly" if good else "no never"
    asked = turn("user", prompt or f"salt {number}")
    return {"id": f"label-{number}", "prompt": asked, "completion": turn("assistant", text), "label": good, **more}


def phase(method: str, **more: Any) -> Phase:
    return Phase.model_validate({"method": method, "max_steps": 1, "batch_size": 4, **more})


MIXED = [pair(1), label(1), pair(2), label(2, False), label(3), label(4), label(5, False)]


@pytest.mark.parametrize(
    ("method", "ids"),
    [
        ("dpo", {"pair-1", "pair-2"}),
        ("orpo", {"pair-1", "pair-2"}),
        ("cpo", {"pair-1", "pair-2"}),
        ("simpo", {"pair-1", "pair-2"}),
        ("sft", {"pair-1", "pair-2", "label-1", "label-3", "label-4"}),
    ],
)
def test_a_method_learns_from_the_labels_it_can(method: Any, ids: set[str]) -> None:
    units = choose(dump_lines(MIXED), 99, 0, method=method)
    assert {unit["id"] for unit in units} == ids
    assert count_units(dump_lines(MIXED).splitlines(), method, 0) == len(ids)
    assert all("chosen" in unit for unit in units)


def test_to_kto_two_labels_are_one_unit_and_an_odd_one_is_left_over() -> None:
    units = choose(dump_lines(MIXED), 99, 0, method="kto")
    assert count_units(dump_lines(MIXED).splitlines(), "kto", 0) == len(units) == 4
    flat = [one for unit in units for one in labels_of(unit)]
    assert len(flat) == 8
    assert {tuple(one) for one in flat} == {("prompt", "completion", "label")}
    assert sum(one["label"] for one in flat) in (4, 5)


def test_plain_pairs_are_chosen_as_ever() -> None:
    lines = dump_lines([pair(number) for number in range(50)])
    assert choose(lines, 20, 3, method="kto") == choose(lines, 20, 3)
    assert choose(lines, 20, 3) == random.Random(3).sample([pair(number) for number in range(50)], 20)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=12), st.integers(0, 3), st.integers(0, 2))
def test_units_are_counted_as_they_are_made(labels: list[tuple[str, bool]], pairs: int, seed: int) -> None:
    lines = [pair(number) for number in range(pairs)]
    lines += [label(number, good, prompt, weight=0.5) for number, (prompt, good) in enumerate(labels)]
    for method in METHODS:
        units = choose(dump_lines(lines), 99, seed, method=method)
        assert count_units(dump_lines(lines).splitlines(), method, seed) == len(units)
        ids = [name for unit in units for name in unit["id"].split()]
        assert len(set(ids)) == len(ids)
        assert all(takes(method, line) and drawn(line, seed) for line in lines if line["id"] in ids)


@given(st.lists(st.sampled_from("abcd"), max_size=14))
def test_the_two_labels_of_a_unit_answer_different_prompts_where_that_can_be(prompts: list[str]) -> None:
    units = units_of([label(number, prompt=prompt) for number, prompt in enumerate(prompts)], "kto")
    commonest = max(map(prompts.count, prompts), default=0)
    if commonest <= len(prompts) // 2:
        assert all(unit["labels"][0]["prompt"] != unit["labels"][1]["prompt"] for unit in units)


def test_a_text_that_looks_like_a_label_counts_as_the_pair_it_is() -> None:
    lines = dump_lines([pair(1) | {"prompt": turn("user", '"label": true, "weight": 0.1')}])
    assert count_units(lines.splitlines(), "dpo", 0) == 1


def test_a_weight_is_the_chance_of_being_trained_on_and_the_seed_decides() -> None:
    lines = [label(number, weight=0.25) for number in range(2000)]
    kept = [line["id"] for line in lines if drawn(line, 1)]
    assert 420 < len(kept) < 580  # 500, four standard errors of 19 each way
    assert kept == [line["id"] for line in lines if drawn(line, 1)]
    assert kept != [line["id"] for line in lines if drawn(line, 2)]
    assert all(drawn(label(number), 1) for number in range(100))


# ---- what is said ----------------------------------------------------------------------------------------------------


def test_labels_that_a_method_leaves_out_are_counted_aloud() -> None:
    lines = dump_lines([*[pair(number) for number in range(4)], *MIXED[3:]])
    units = choose(lines, 99, 0)
    assert (
        said_of_labels(lines.splitlines(), units, phase("dpo"))
        == "4 labels are left out: method dpo learns nothing from them"
    )
    good = choose(lines, 99, 0, method="sft")
    assert said_of_labels(lines.splitlines(), good, phase("sft")) == (
        "2 labels of bad answers are left out: method sft learns nothing from them"
    )
    assert said_of_labels(lines.splitlines(), units, phase("kto")) is None
    assert said_of_labels(dump_lines([pair(1)]).splitlines(), [], phase("dpo")) is None


@pytest.mark.parametrize("method", ["dpo", "orpo", "cpo", "simpo"])
def test_a_method_that_needs_pairs_is_refused_by_name_where_there_are_labels_alone(method: Any) -> None:
    lines = dump_lines([label(number) for number in range(40)])
    units = choose(lines, 99, 0, method=method)
    with pytest.raises(
        ModelError, match=rf"method '{method}' learns nothing from labels, and 40 of.*0 others"
    ) as refused:
        said_of_labels(lines.splitlines(), units, phase(method))
    assert 'phase.method = "kto"' in refused.value.do


def test_labels_of_one_side_alone_are_said() -> None:
    lines = dump_lines([label(number) for number in range(8)])
    said = said_of_labels(lines.splitlines(), choose(lines, 99, 0, method="kto"), phase("kto"))
    assert said is not None
    assert said.startswith("all 8 labels are good: KTO weighs good answers against bad ones")


def test_a_phase_that_needs_pairs_is_refused_before_a_program_starts(
    home: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train.place, "pool", default_pool)  # a saved one takes a Prefect server
    labels = Store(home / "store").put_bytes(dump_lines([label(number) for number in range(16)]), "application/jsonl")
    plan, preferences = Plan.model_construct(steps=2, pairs=16), Preferences.model_construct(train=labels)
    with pytest.raises(ModelError, match=r"^method 'dpo' learns nothing from labels, and 16 of the training rows are"):
        train.make_spec(load_recipe(tiny_recipe), plan, preferences, Model.model_construct(), home)


# ---- training --------------------------------------------------------------------------------------------------------


def units_file(folder: Path, lines: list[dict[str, Any]], method: Any) -> Path:
    (folder / "units.jsonl").write_bytes(dump_lines(choose(dump_lines(lines), 99, 0, method=method)))
    return folder / "units.jsonl"


def run_of(folder: Path, model: Path, lines: list[dict[str, Any]], method: str) -> Run:
    small = {"method": method, "batch_size": 4, "learning_rate": 5e-3}
    return Run(training_spec(folder / method, model, units_file(folder, lines, method), 2, small), Never())


def test_kto_trains_on_pairs_and_labels_together(tmp_path: Path, tiny_model: Path) -> None:
    write_pairs(tmp_path / "pairs.jsonl", 4)
    pairs = [
        {name: one for name, one in row.items() if name != "timestamp"}
        for row in load_lines((tmp_path / "pairs.jsonl").read_bytes())
    ]
    lines = [*pairs, *[label(number, number % 3 > 0, NEUTRAL[number]) for number in range(8)]]
    run = run_of(tmp_path, tiny_model, lines, "kto")
    rows: Any = run.trainer.train_dataset
    assert len(rows) == 16  # two steps of four units of two labels
    for begin in (0, 8):  # the answers it estimates the divergence from are those of another row of the batch
        batch = [rows[place] for place in range(begin, begin + 8)]
        assert [row["KL_completion_ids"] for row in batch] == [batch[place - 1]["completion_ids"] for place in range(8)]
        assert all(row["prompt_ids"] != batch[place - 1]["prompt_ids"] for place, row in enumerate(batch))
    history = run.train()
    assert len(history) == 2
    assert history[0]["loss"] != history[1]["loss"]


def test_kto_learns_to_tell_good_answers_from_bad_ones_from_labels_alone(tmp_path: Path, tiny_model: Path) -> None:
    lines = [label(number, number % 2 > 0) for number in range(96)]
    (tmp_path / "units.jsonl").write_bytes(dump_lines(choose(dump_lines(lines), 99, 0, method="kto")))
    small = {"method": "kto", "batch_size": 4, "learning_rate": 2e-2, "beta": 0.5}
    run = Run(training_spec(tmp_path / "run", tiny_model, tmp_path / "units.jsonl", 12, small), Never())
    history = run.train()
    assert abs(history[0]["rewards_margins"]) < 1e-3
    assert history[-1]["rewards_margins"] > 0.5


@pytest.mark.slow
def test_sft_trains_on_good_labels_beside_chosen_answers(tmp_path: Path, tiny_model: Path) -> None:
    run = run_of(
        tmp_path, tiny_model, [*[pair(number) for number in range(4)], *[label(number) for number in range(4)]], "sft"
    )
    assert len(run.train()) == 2


@pytest.mark.parametrize(
    "unit",
    [
        {"id": "a", "labels": [label(1), label(2)]},
        pair(1),
        {"id": "b", "prompt": turn("user", "q"), "chosen": turn("assistant", "y")},
    ],
)
def test_every_unit_is_measured_by_its_longest_conversation(unit: dict[str, Any], tiny_model: Path) -> None:
    tokenizer = load_tokenizer(tiny_model)
    longest = max(len(tokenizer.apply_chat_template(one)["input_ids"]) for one in conversations_of(unit))  # pyright: ignore
    refuse_too_long([unit], tokenizer, longest)
    with pytest.raises(ModelError, match=f"the pair {unit['id']} has {longest} tokens"):
        refuse_too_long([unit], tokenizer, longest - 1)
