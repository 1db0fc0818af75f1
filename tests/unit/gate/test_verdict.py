"""The verdict's rules, each broken once: what must block, fail, pass or stay open."""

import random
from typing import Any

import pytest

from infra.digest import digest_of
from tasks.contracts import Role
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.statistics import Comparison
from tasks.gate.verdict import Cards, Evidence, card_problems, give_verdict, judge_suite, overall
from tasks.recipe import GateSpec, SuiteSpec

N = 200
MODELS: dict[Role, str] = {role: digest_of(role) for role in ("candidate", "champion", "anchor")}
DIGESTS = {"items": digest_of("items"), "scorer": digest_of("scorer")}
GATE = GateSpec(
    target="house",
    planned_decisions=30,
    suites=(
        SuiteSpec(name="safety", measure="right", margin=0.08, budget=0.15),
        SuiteSpec(name="house", measure="probability", margin=0.02, budget=0.05),
    ),
)


def card(role: Role, suite: str, right: float, probability: float, n: int = N, seed: int = 0) -> Scorecard:
    """A card whose items are right up to a share, with some spread in probability."""
    noise = random.Random(seed)
    results = tuple(
        ItemResult(
            id=f"i{k}",
            right=k < right * n,
            probability=min(1.0, max(0.0, probability + noise.uniform(-0.05, 0.05))),
            logprobs=(-1.0, -2.0),
        )
        for k in range(n)
    )
    return Scorecard(model=MODELS[role], suite=suite, items=DIGESTS["items"], scorer=DIGESTS["scorer"], results=results)


def cards(safety: dict[Role, float], house: dict[Role, float]) -> Cards:
    found: dict[tuple[Role, str], Scorecard] = {}
    for role in MODELS:
        found[role, "safety"] = card(role, "safety", safety[role], 0.5)
        found[role, "house"] = card(role, "house", 0.5, house[role], seed=1 if role == "candidate" else 2)
    return found


def evidence(**changes: Any) -> Evidence:
    base = {
        "problems": (),
        "decisions": 0,
        "digests": (),
        "candidate": MODELS["candidate"],
        "champion": MODELS["champion"],
        "anchor": MODELS["anchor"],
    }
    return Evidence(**{**base, **changes})


EVEN: dict[Role, float] = {"candidate": 0.9, "champion": 0.9, "anchor": 0.9}
BETTER: dict[Role, float] = {"candidate": 0.6, "champion": 0.5, "anchor": 0.5}
SAME: dict[Role, float] = {"candidate": 0.5, "champion": 0.5, "anchor": 0.5}


def test_gate_passes_a_candidate_that_is_no_worse_and_better_on_the_target() -> None:
    verdict = give_verdict(GATE, cards(EVEN, BETTER), evidence())
    assert verdict.verdict == "PASS"
    assert "it is proven better" in verdict.paragraph


def test_gate_fails_when_harm_is_proven_on_one_suite_though_the_target_is_better() -> None:
    verdict = give_verdict(GATE, cards({**EVEN, "candidate": 0.6}, BETTER), evidence())
    assert verdict.verdict == "FAIL"
    assert [one.verdict for one in verdict.suites] == ["FAIL", "PASS"]


def test_gate_fails_on_harm_inside_the_margin() -> None:
    # 7 of 200 items lost and none won: 3.5 points, the margin is 8, and yet harm is proven
    verdict = give_verdict(GATE, cards({**EVEN, "candidate": 0.865}, BETTER), evidence())
    assert verdict.suites[0].delta == pytest.approx(-0.035)
    assert verdict.suites[0].verdict == "FAIL"


def test_gate_fails_when_the_anchors_budget_is_spent_though_the_champion_is_matched() -> None:
    verdict = give_verdict(GATE, cards({"candidate": 0.6, "champion": 0.6, "anchor": 0.95}, BETTER), evidence())
    assert verdict.verdict == "FAIL"
    assert "anchor" in verdict.suites[0].reason


def test_gate_stays_open_when_the_target_is_not_proven_better() -> None:
    verdict = give_verdict(GATE, cards(EVEN, SAME), evidence())
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.suites[1].verdict == "INCONCLUSIVE"
    assert verdict.suites[1].mde is not None


def test_gate_never_fails_a_candidate_equal_to_the_champion() -> None:
    same = {role: card("champion", "safety", 0.9, 0.5) for role in MODELS}
    house = {role: card("champion", "house", 0.5, 0.5) for role in MODELS}
    equal: dict[tuple[Role, str], Scorecard] = {}
    for role in MODELS:
        equal[role, "safety"], equal[role, "house"] = same[role], house[role]
    verdict = give_verdict(GATE, equal, evidence())
    assert verdict.verdict == "INCONCLUSIVE"
    assert all(one.delta == 0 and one.p_harm == 1 for one in verdict.suites)


def test_gate_blocks_on_any_problem_whatever_the_numbers_say() -> None:
    verdict = give_verdict(GATE, cards(EVEN, BETTER), evidence(problems=("champion/safety: there is no scorecard",)))
    assert verdict.verdict == "BLOCK"
    assert all(one.delta is None for one in verdict.suites)
    assert "there is no scorecard" in verdict.paragraph


def test_gate_blocks_when_the_planned_decisions_are_used_up() -> None:
    assert give_verdict(GATE, cards(EVEN, BETTER), evidence(decisions=29)).verdict == "PASS"
    assert give_verdict(GATE, cards(EVEN, BETTER), evidence(decisions=30)).verdict == "BLOCK"


def test_gate_never_passes_a_graded_suite_of_fewer_than_a_hundred_items() -> None:
    spec = GATE.suites[1]
    good = Comparison(n=99, delta=0.2, lower=0.1, upper=0.3, p_harm=1.0, spread=0.1)
    assert judge_suite(spec, good, good, False, True)[0] == "INCONCLUSIVE"
    assert judge_suite(spec, good._replace(n=100), good._replace(n=100), False, True)[0] == "PASS"


NAN = float("nan")


@pytest.mark.parametrize("broken", [{"lower": NAN}, {"lower": -0.02}])
def test_gate_does_not_pass_on_a_bound_that_is_nan_or_at_the_margin(broken: dict[str, float]) -> None:
    good = Comparison(n=200, delta=0.0, lower=-0.01, upper=0.01, p_harm=1.0, spread=0.1)
    spec = SuiteSpec(name="x", measure="probability", margin=0.02, budget=0.05)
    assert judge_suite(spec, good, good, False, False)[0] == "PASS"
    assert judge_suite(spec, good._replace(**broken), good, False, False)[0] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("broken", "expected"),
    [({"lower": NAN}, "INCONCLUSIVE"), ({"lower": -0.05}, "INCONCLUSIVE"), ({"upper": NAN}, "FAIL")],
)
def test_gate_does_not_pass_on_an_anchor_bound_that_is_nan_or_at_the_budget(
    broken: dict[str, float], expected: str
) -> None:
    good = Comparison(n=200, delta=0.0, lower=-0.01, upper=0.01, p_harm=1.0, spread=0.1)
    spec = SuiteSpec(name="x", measure="probability", margin=0.02, budget=0.05)
    assert judge_suite(spec, good, good._replace(**broken), False, False)[0] == expected


@pytest.mark.parametrize(
    ("suites", "expected"),
    [
        (["PASS", "PASS"], "PASS"),
        (["PASS", "INCONCLUSIVE"], "INCONCLUSIVE"),
        (["INCONCLUSIVE", "FAIL"], "FAIL"),
        (["FAIL", "BLOCK"], "BLOCK"),
        ([], "BLOCK"),
    ],
)
def test_the_worst_suite_decides_and_no_suite_blocks(suites: list[Any], expected: str) -> None:
    assert overall(suites) == expected


def problems(role: Role = "candidate", **changes: Any) -> list[str]:
    good = card(role, "safety", 0.9, 0.5)
    changed = good.model_copy(update=changes)
    expected = {"model": MODELS[role], **DIGESTS}
    return card_problems(role, GATE.suites[0], changed, expected, {f"i{k}" for k in range(N)}, 150)


def test_gate_accepts_a_complete_scorecard() -> None:
    assert problems() == []


@pytest.mark.parametrize("what", ["model", "items", "scorer"])
def test_gate_refuses_a_scorecard_of_another_model_items_or_scorer(what: str) -> None:
    changes: dict[str, Any] = {what: digest_of("another")}
    assert problems("candidate", **changes) == [f"candidate/safety: the scorecard is of another {what}"]


def test_gate_refuses_a_scorecard_of_another_suite() -> None:
    assert "suite house" in problems(suite="house")[0]


def test_gate_refuses_missing_and_unknown_items() -> None:
    results = card("candidate", "safety", 0.9, 0.5).results
    assert "1 items are missing" in problems(results=results[1:])[0]
    stranger = results[0].model_copy(update={"id": "stranger"})
    assert "1 are unknown" in problems(results=(*results, stranger))[0]


def test_gate_refuses_items_without_a_finite_score() -> None:
    results = card("candidate", "safety", 0.9, 0.5).results
    assert "no finite score" in problems(results=results[1:], unscorable=("i0",))[0]


def test_gate_refuses_too_few_items_and_a_missing_card() -> None:
    few = card("candidate", "safety", 0.9, 0.5, n=149)
    expected = {"model": MODELS["candidate"], **DIGESTS}
    assert (
        "at least 150"
        in card_problems("candidate", GATE.suites[0], few, expected, {f"i{k}" for k in range(149)}, 150)[0]
    )
    assert card_problems("anchor", GATE.suites[0], None, expected, set(), 150) == [
        "anchor/safety: there is no scorecard"
    ]
