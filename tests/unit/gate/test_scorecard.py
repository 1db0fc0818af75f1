"""Results from log-probabilities, and scorecards that can't be half-read."""

import ast
import json
import math
from pathlib import Path

import pytest

from infra.digest import digest_of
from infra.settings import ROOT
from tasks.contracts import Engine
from tasks.gate.scorecard import SCORING_CODE, Scorecard, card_key, item_result, read_card, scorer_digest
from tasks.gate.suites import Scorer

ENGINE = Engine(name="packed", device="cpu", dtype="float32", tokens=2048, form="merged", quantise=None)
SUM, MEAN = Scorer(normalise="none"), Scorer(normalise="tokens")


def test_probability_is_the_softmax_over_choices() -> None:
    result = item_result("a", [-1.0, -2.0, -3.0], [1, 1, 1], 1, SUM)
    assert result is not None
    weights = [math.exp(-1), math.exp(-2), math.exp(-3)]
    assert result.score == pytest.approx(weights[1] / sum(weights))
    assert not result.right


def test_normalising_by_tokens_lets_a_longer_answer_win() -> None:
    long_right = item_result("a", [-6.0, -4.0], [6, 2], 0, MEAN)
    assert long_right is not None
    assert long_right.right
    summed = item_result("a", [-6.0, -4.0], [6, 2], 0, SUM)
    assert summed is not None
    assert not summed.right


def test_a_tie_is_not_a_right_answer() -> None:
    result = item_result("a", [-2.0, -2.0], [1, 1], 0, SUM)
    assert result is not None
    assert not result.right
    assert result.score == 0.5


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_a_log_probability_that_is_not_finite_gives_no_result(bad: float) -> None:
    assert item_result("a", [-1.0, bad], [1, 1], 0, SUM) is None


def test_very_unlikely_choices_do_not_underflow() -> None:
    result = item_result("a", [-5000.0, -5001.0], [1, 1], 0, SUM)
    assert result is not None
    assert result.score == pytest.approx(1 / (1 + math.exp(-1)))


def _card() -> dict[str, object]:
    result = item_result("a", [-1.0, -2.0], [1, 1], 0, SUM)
    assert result is not None
    return Scorecard(
        model=digest_of(1), suite="s", items=digest_of(2), scorer=digest_of(3), results=(result,)
    ).model_dump()


def test_a_scorecard_is_read_back_as_it_was_written() -> None:
    assert read_card(json.dumps(_card()).encode()).model_dump() == _card() | {"results": tuple(_card()["results"])}  # pyright: ignore


def test_a_scorecard_with_nan_repeated_items_or_strange_fields_is_refused() -> None:
    good = _card()
    result = good["results"][0]  # pyright: ignore
    for broken in (
        {**good, "results": [{**result, "score": math.nan}]},
        {**good, "results": [result, result]},
        {**good, "extra": 1},
        {**good, "results": [{**result, "score": 1.5}]},
    ):
        with pytest.raises(ValueError):
            read_card(json.dumps(broken).encode())
    with pytest.raises(ValueError):
        read_card(b"not json")


def test_the_key_changes_with_model_items_and_scorer() -> None:
    keys = {card_key(digest_of(a), digest_of(b), digest_of(c)) for a in "xy" for b in "xy" for c in "xy"}
    assert len(keys) == 8
    assert scorer_digest(SUM, ENGINE) != scorer_digest(MEAN, ENGINE)


@pytest.mark.parametrize(
    "changes",
    [
        {"dtype": "bfloat16"},
        {"device": "nvidia-h100"},
        {"tokens": 512},
        {"form": "adapter"},
        {"quantise": "Q8_0"},
        {"name": "vllm"},
    ],
)
def test_results_of_another_engine_are_other_results(changes: dict[str, object]) -> None:
    assert scorer_digest(SUM, ENGINE.model_copy(update=changes)) != scorer_digest(SUM, ENGINE)


def test_only_drift_depends_on_the_anchor() -> None:
    drift = Scorer(kind="drift")
    assert scorer_digest(drift, ENGINE, digest_of("a")) != scorer_digest(drift, ENGINE, digest_of("b"))
    assert scorer_digest(SUM, ENGINE, digest_of("a")) == scorer_digest(SUM, ENGINE, digest_of("b"))


def test_normalising_by_bytes_and_characters_counts_the_choices_text() -> None:
    for how, lengths in (("bytes", (2, 4)), ("characters", (1, 4))):
        scorer = Scorer(normalise=how)  # pyright: ignore[reportArgumentType]
        result = item_result("a", [-2.0, -4.0], [1, 1], 0, scorer, ["é", "four"])
        assert result is not None
        weights = [math.exp(-2.0 / lengths[0]), math.exp(-4.0 / lengths[1])]
        assert result.score == pytest.approx(weights[0] / sum(weights))


def test_all_of_our_code_that_computes_a_result_is_in_the_scorers_digest() -> None:
    waiting, seen = ["tasks.gate.scorers", "tasks.gate.scoring_engine"], set()
    while waiting:
        module = waiting.pop()
        seen.add(module)
        tree = ast.parse(_file(module).read_text())
        imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module]
        names = {f"{node.module}.{alias.name}" for node in imports for alias in node.names} | {
            str(node.module) for node in imports
        }
        ours = ("tasks.lm.", "tasks.gate.")
        waiting += [name for name in names - seen - BESIDE if name.startswith(ours) and _file(name).is_file()]
    assert {_file(module) for module in seen} <= set(SCORING_CODE)
    assert [file for file in SCORING_CODE if not file.is_file()] == []  # one that moved would be left out unsaid
    assert len(seen) > 10


# records and loading: what they make is in the digests of items, scorer and model
BESIDE = {"tasks.gate.suites", "tasks.lm.loading", "tasks.lm.parity"}


def _file(module: str) -> Path:
    return ROOT / Path(*module.split(".")).with_suffix(".py")
