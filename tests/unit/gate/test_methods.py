"""Models' results item by item, for a comparison of methods."""

from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_of
from infra.store import Store
from tasks.contracts import Engine, ScorecardRef, Scores
from tasks.errors import SuiteError
from tasks.gate.methods import marks_of
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.suites import Item, Scorer, Suite
from tasks.recipe import DriftSpec, GateSpec, Limits, SuiteSpec

D = digest_of("x")
ENGINE = Engine(name="packed", device="cpu", dtype="float32", tokens=2048, form="merged", quantise=None)
SPECS = (
    SuiteSpec(name="sums", measure="right", margin=0.1, budget=0.2),
    SuiteSpec(name="house", measure="probability", margin=0.1, budget=0.2),
)
GATE = GateSpec(target="sums", suites=SPECS)
DRIFT = DriftSpec(kl=Limits(margin=0.1, budget=0.2))


def suite(name: str, count: int = 3) -> Suite:
    items = tuple(
        Item.model_validate(
            {"id": f"{name}-{at}", "family": f"f{at // 2}", "messages": [{"role": "user", "content": f"question {at}"}],
             "choices": ("a", "b"), "answer": 0}
        )
        for at in range(count)
    )  # fmt: skip
    return Suite(name=name, scorer=Scorer(), items=items)


ITEMS = {name: suite(name) for name in ("sums", "house", "drift")}


def results(name: str, count: int = 3) -> tuple[ItemResult, ...]:
    measures = (("tokens", 4.0), ("anchor_tokens", 8.0), ("kl", 0.5))
    return tuple(
        ItemResult(id=f"{name}-{at}", right=at == 0, score=0.25 * at, measures=measures)
        for at in reversed(range(count))
    )


def scores(store: Store, *cards: Scorecard, **changes: Any) -> Scores:
    refs = [
        ScorecardRef(
            role="candidate", suite=card.suite, model=D, items=D, scorer=D,
            card=store.put_bytes(card.model_dump_json().encode(), "application/json"),
        )
        for card in cards
    ]  # fmt: skip
    found = {"cards": tuple(refs), "engine": ENGINE, "noise": (), "samples": store.put_json([]), "mlflow_run": ""}
    return Scores.model_validate(found | changes)


def card(name: str, count: int = 3, **changes: Any) -> Scorecard:
    return Scorecard.model_validate(
        {"model": D, "suite": name, "items": D, "scorer": D, "results": results(name, count)} | changes
    )


def test_values_are_by_the_suites_measure_in_the_suites_order_with_families(tmp_path: Path) -> None:
    store = Store(tmp_path)
    (sums, house), distance = marks_of(GATE, ITEMS, scores(store, card("sums"), card("house")), "candidate", store)
    assert (sums.values, house.values) == ((1.0, 0.0, 0.0), (0.0, 0.25, 0.5))
    assert (sums.ids, sums.families) == (("sums-0", "sums-1", "sums-2"), ("f0", "f0", "f1"))
    assert distance.anchor_kl is None


def test_measures_of_drift_are_suites_of_their_own_and_their_means_the_distance(tmp_path: Path) -> None:
    store = Store(tmp_path)
    gate = GATE.model_copy(update={"drift": DRIFT})
    found, distance = marks_of(
        gate, ITEMS, scores(store, card("sums"), card("house"), card("drift")), "candidate", store
    )
    assert [one.suite for one in found] == ["sums", "house", "drift-kl"]
    assert found[2].values == pytest.approx((0.6065,) * 3, abs=1e-4)
    assert (distance.anchor_kl, distance.anchor_length_ratio) == pytest.approx((0.5, 0.5))


@pytest.mark.parametrize(
    ("made", "why"),
    [
        ((card("sums"),), "house has no scorecard of the candidate"),
        ((card("sums"), card("house", 2)), "house: 1 items have no result"),
        (
            (card("sums"), card("house", stopped=True)),
            "house: 0 items have no result of the candidate, for its scoring was stopped",
        ),
    ],
)
def test_half_a_scorecard_is_no_figure(tmp_path: Path, made: tuple[Scorecard, ...], why: str) -> None:
    store = Store(tmp_path)
    with pytest.raises(SuiteError, match=why):
        marks_of(GATE, ITEMS, scores(store, *made), "candidate", store)


def test_a_model_that_could_not_be_loaded_has_no_figures(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(SuiteError, match="could not be scored: candidate: gone"):
        marks_of(GATE, ITEMS, scores(store, problems=("candidate: gone",)), "candidate", store)
