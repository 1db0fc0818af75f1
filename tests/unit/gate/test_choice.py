"""Several candidates of one night: the best phase that passes is chosen, and all share the gate's α."""

import random
from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.digest import digest_of
from tasks.contracts import Candidate, Ended, Model, SuiteResult, Trained, Verdict, VerdictName
from tasks.gate.choice import best, phase_tags, shared, together
from tasks.gate.verdict import give_verdict
from tests.unit.gate.test_judge import MODELS, D
from tests.unit.gate.test_verdict import BETTER, EVEN, GATE, SAME, N, card, cards, facts

WORDS: tuple[VerdictName, ...] = ("PASS", "INCONCLUSIVE", "FAIL", "BLOCK")


def verdict(word: VerdictName, lower: float | None = 0.01, *, waivable: bool = False, name: str = "c") -> Verdict:
    numbers: dict[str, Any] = dict.fromkeys(
        ("champion", "candidate", "upper", "p_harm", "anchor_delta", "anchor_lower", "anchor_upper", "mde",
         "items_to_settle"), None,
    )  # fmt: skip
    suite = SuiteResult(
        name="house", measure="probability", n=200, delta=None if lower is None else lower + 0.01, lower=lower,
        margin=0.02, budget=0.05, target=True, verdict=word, reason="", **numbers,
    )  # fmt: skip
    return Verdict(
        verdict=word, paragraph=f"{word}: so it is.", suites=(suite,), problems=(), alpha=0.05, anchor_z=3.0,
        waivable=waivable, candidate=digest_of(name), champion=None, anchor=None, cards=(),
    )  # fmt: skip


BOUNDS = st.one_of(st.none(), st.sampled_from([-0.1, 0.0, 0.01, 0.2]))
VERDICTS = st.lists(
    st.one_of(
        st.builds(verdict, st.sampled_from(WORDS), BOUNDS),
        st.builds(verdict, st.just("INCONCLUSIVE"), BOUNDS, waivable=st.just(True)),
    ),
    min_size=1,
    max_size=6,
)


@given(VERDICTS)
def test_whatever_the_phases_are_one_that_passes_is_chosen_and_none_that_passes_has_a_higher_bound(
    found: list[Verdict],
) -> None:
    chosen = found[best(found)]
    passing = [one for one in found if one.verdict == "PASS"]
    if passing:
        assert chosen.verdict == "PASS"
        bounds = [-1.0 if one.suites[0].lower is None else one.suites[0].lower for one in passing]
        assert (-1.0 if chosen.suites[0].lower is None else chosen.suites[0].lower) == max(bounds)


@given(VERDICTS)
def test_of_equal_phases_the_earlier_is_chosen_and_one_more_that_blocks_changes_nothing(found: list[Verdict]) -> None:
    place = best(found)
    assert best([*found, found[place]]) == place
    assert best([*found, verdict("BLOCK", None)]) == place


@given(VERDICTS, st.randoms(use_true_random=False))
def test_the_order_of_phases_decides_nothing_but_ties(found: list[Verdict], luck: random.Random) -> None:
    mixed = luck.sample(found, len(found))
    one, other = found[best(found)], mixed[best(mixed)]
    assert (one.verdict, one.waivable, one.suites[0].lower) == (other.verdict, other.waivable, other.suites[0].lower)


@pytest.mark.parametrize(
    ("found", "place"),
    [
        ([verdict("FAIL", 0.5), verdict("PASS", 0.01)], 1),
        ([verdict("PASS", 0.01), verdict("INCONCLUSIVE", 0.5)], 0),
        ([verdict("PASS", 0.02), verdict("PASS", 0.03), verdict("PASS", 0.03)], 1),
        ([verdict("INCONCLUSIVE", 0.3), verdict("INCONCLUSIVE", -0.1, waivable=True)], 1),
        ([verdict("FAIL", None), verdict("FAIL", -0.3)], 1),
        ([verdict("BLOCK", None), verdict("FAIL", None)], 1),
    ],
)
def test_the_night_s_verdict_is_the_best_phase_s(found: list[Verdict], place: int) -> None:
    assert best(found) == place


def candidate(name: str, phase: int, of: int) -> Candidate:
    tree = MODELS["candidate"].base.model_copy(update={"digest_": digest_of(name)})
    blob: Any = {"digest_": D, "size": 1}
    return Candidate(model=Model(base=tree), preferences=D, recipe=D, history=blob, mlflow_run=name, phase=phase, of=of)


def judged(words: Sequence[VerdictName], *ended: Ended) -> Verdict:
    numbers = [number for number in range(1, len(words) + len(ended) + 1) if number not in {e.number for e in ended}]
    made = tuple(candidate(f"c{number}", number, len(words)) for number in numbers)
    found = [verdict(word, name=f"c{number}") for word, number in zip(words, numbers, strict=True)]
    methods = dict(zip(range(1, len(words) + len(ended) + 1), ("dpo", "ppo", "grpo"), strict=False))
    return together(found, Trained(candidates=made, ended=ended), methods)


def test_every_phase_has_a_line_and_the_paragraph_says_which_it_is() -> None:
    found = judged(["FAIL", "PASS"], Ended(number=3, method="grpo", why="spent -> raise it"))
    assert found.verdict == "PASS"
    assert [(one.number, one.method, one.verdict, one.chosen) for one in found.phases] == [
        (1, "dpo", "FAIL", False), (2, "ppo", "PASS", True), (3, "grpo", None, False),
    ]  # fmt: skip
    assert found.paragraph == (
        "PASS: so it is. This is phase 2 of 3 (ppo). Phase 1 (dpo): FAIL, target's lower bound +0.010; "
        "phase 3 (grpo): no candidate, spent."
    )
    assert phase_tags(found, digest_of("c1")) == {"nightshift.verdict": "FAIL", "nightshift.chosen": "false"}
    assert phase_tags(found, digest_of("c2")) == {"nightshift.verdict": "PASS", "nightshift.chosen": "true"}
    assert found.digest != judged(["PASS", "PASS"], Ended(number=3, method="grpo", why="spent")).digest


def test_a_night_with_one_phase_is_judged_as_it_was_before_there_were_several() -> None:
    alone = verdict("PASS", name="c1")
    found = together([alone], Trained(candidates=(candidate("c1", 1, 1),)), {1: "dpo"})
    assert found is alone
    assert "phases" not in found.identity()
    assert phase_tags(found, alone.candidate) == {}
    assert shared(GATE, 1) is GATE


def test_candidates_share_alpha_and_each_spends_the_anchor_s_whole_decision() -> None:
    alone, of_four = (give_verdict(GATE, cards(EVEN, BETTER), facts(together=count)) for count in (1, 4))
    assert of_four.alpha == alone.alpha / 4 == 0.0125
    assert of_four.anchor_z == alone.anchor_z
    for one, other in zip(alone.suites, of_four.suites, strict=True):
        assert (one.delta, one.anchor_lower, one.anchor_upper) == (other.delta, other.anchor_lower, other.anchor_upper)
        assert one.lower is not None
        assert other.lower is not None
        assert other.lower < one.lower  # a wider interval, of the same items


def test_harm_is_proven_at_the_shared_alpha_too() -> None:
    # 9 of 200 items lost and none won, p = 0.002: proven for one candidate, not where twenty are looked at
    lost = cards({**EVEN, "candidate": 0.855}, BETTER)
    assert give_verdict(GATE, lost, facts()).verdict == "FAIL"
    assert give_verdict(GATE, lost, facts(together=20)).suites[0].verdict == "INCONCLUSIVE"


def null_night(luck: random.Random, count: int, together_: int) -> bool:
    """Whether a night of candidates that are no better than the champion passes one of them.

    All have their own noise on the same items, and the champion's: as several phases of one night have.
    """
    base = [luck.gauss(0.5, 0.1) for _ in range(N)]
    found = dict(cards(EVEN, SAME))
    for role in ("champion", "anchor"):
        found[role, "house"] = _noisy(found[role, "house"], base, luck)
    for _ in range(count):
        found["candidate", "house"] = _noisy(found["candidate", "house"], base, luck)
        if give_verdict(GATE, found, facts(together=together_)).verdict == "PASS":
            return True
    return False


def _noisy(one: Any, base: list[float], luck: random.Random) -> Any:
    results = [
        result.model_copy(update={"score": min(max(center + luck.gauss(0, 0.03), 0.0), 1.0)})
        for result, center in zip(one.results, base, strict=True)
    ]
    return one.model_copy(update={"results": tuple(results)})


@pytest.mark.slow
def test_the_chance_that_any_of_four_equal_phases_passes_is_within_alpha_and_unshared_it_is_not() -> None:
    nights = 300
    shares = [sum(null_night(random.Random(f"{n}"), 4, of) for n in range(nights)) / nights for of in (4, 1)]
    assert shares[0] <= 0.05 + 2 * (0.05 * 0.95 / nights) ** 0.5
    assert shares[1] > 0.07  # choosing among four bounds at α each is not a test at α


def test_decisions_that_are_left_must_do_for_all_of_the_night_s_candidates() -> None:
    found = cards(EVEN, BETTER)
    assert give_verdict(GATE, found, facts(decisions=28, together=2, wanted=2)).verdict == "PASS"
    short = give_verdict(GATE, found, facts(decisions=29, together=2, wanted=2))
    assert short.verdict == "BLOCK"
    assert "1 of the anchor's 30 planned decisions are left, and the night's candidates need 2" in short.problems[0]
    assert card("candidate", "house", 0.5, 0.5).results
