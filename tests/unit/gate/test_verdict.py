"""The verdict's rules, each broken once: what must block, fail, pass or stay open."""

import random
from typing import Any

import pytest

from infra.digest import digest_of
from tasks.contracts import Noise, Role
from tasks.gate.card_checks import card_problems
from tasks.gate.harm import Bank, compare, looks_of
from tasks.gate.samples import sampling_share
from tasks.gate.scorecard import ItemResult, Scorecard
from tasks.gate.statistics import Comparison, items_to_settle
from tasks.gate.verdict import Cards, Facts, find_problems, give_verdict, judge_suite, overall
from tasks.recipe import DriftSpec, GateSpec, Limits, SuiteSpec

N = 200
MODELS: dict[Role, str] = {role: digest_of(role) for role in ("candidate", "champion", "anchor")}
DIGESTS = {"items": digest_of("items"), "scorer": digest_of("scorer")}
GATE = GateSpec(
    target="house",
    planned_decisions=30,
    aa_items=0,
    suites=(
        SuiteSpec(name="safety", measure="right", margin=0.08, budget=0.15),
        SuiteSpec(name="house", measure="probability", margin=0.02, budget=0.05),
    ),
)
NAMES = [f"i{k:03}" for k in range(N)]
BANK = Bank({name: name for name in NAMES}, DIGESTS["items"], {})


def card(role: Role, suite: str, right: float, probability: float, n: int = N, seed: int = 0) -> Scorecard:
    """A card whose items are right up to a share, with some spread in probability."""
    noise = random.Random(seed)
    results = tuple(
        ItemResult(
            id=NAMES[k],
            right=k < right * n,
            score=min(1.0, max(0.0, probability + noise.uniform(-0.05, 0.05))),
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


def facts(**changes: Any) -> Facts:
    base: dict[str, Any] = {
        "problems": (),
        "decisions": 0,
        "digests": (),
        "candidate": MODELS["candidate"],
        "champion": MODELS["champion"],
        "anchor": MODELS["anchor"],
        "banks": {"safety": BANK, "house": BANK, "drift": BANK},
        "lost": {},
    }
    return Facts(**{**base, **changes})


EVEN: dict[Role, float] = {"candidate": 0.9, "champion": 0.9, "anchor": 0.9}
BETTER: dict[Role, float] = {"candidate": 0.6, "champion": 0.5, "anchor": 0.5}
SAME: dict[Role, float] = {"candidate": 0.5, "champion": 0.5, "anchor": 0.5}


def test_gate_passes_a_candidate_that_is_no_worse_and_better_on_the_target() -> None:
    verdict = give_verdict(GATE, cards(EVEN, BETTER), facts())
    assert verdict.verdict == "PASS"
    assert "it is proven better" in verdict.paragraph
    assert (verdict.decision, verdict.planned, verdict.waivable) == (1, 30, False)
    assert [one.items for one in verdict.suites] == [N, N]
    assert all(one.anchor_upper is not None and one.items_to_settle is None for one in verdict.suites)
    assert [one.wear for one in verdict.suites] == [0.0, 0.0]  # no item was judged before


def test_gate_fails_when_harm_is_proven_on_one_suite_though_the_target_is_better() -> None:
    verdict = give_verdict(GATE, cards({**EVEN, "candidate": 0.6}, BETTER), facts())
    assert verdict.verdict == "FAIL"
    assert [one.verdict for one in verdict.suites] == ["FAIL", "PASS"]
    assert not verdict.waivable


def test_gate_fails_on_harm_inside_the_margin() -> None:
    # 9 of 200 items lost and none won: 4.5 points, the margin is 8, and yet harm is proven
    verdict = give_verdict(GATE, cards({**EVEN, "candidate": 0.855}, BETTER), facts())
    assert verdict.suites[0].delta == pytest.approx(-0.045)
    assert verdict.suites[0].verdict == "FAIL"
    assert verdict.suites[0].look is not None
    # every bound against the anchor holds, and yet nothing excuses harm or says how many items would
    assert not verdict.waivable
    assert verdict.suites[0].items_to_settle is None


def test_gate_does_not_fail_on_a_loss_that_chance_gives_once_in_twenty() -> None:
    # 4 lost and none won: p = 0.023 on one test, which two suites and four looks must not call proven
    verdict = give_verdict(GATE, cards({**EVEN, "candidate": 0.88}, BETTER), facts())
    assert verdict.suites[0].delta == pytest.approx(-0.02)
    assert verdict.suites[0].verdict != "FAIL"
    assert "Holm" not in verdict.suites[0].reason


def test_gate_fails_when_the_anchors_budget_is_spent_though_the_champion_is_matched() -> None:
    verdict = give_verdict(GATE, cards({"candidate": 0.6, "champion": 0.6, "anchor": 0.95}, BETTER), facts())
    assert verdict.verdict == "FAIL"
    assert "anchor" in verdict.suites[0].reason


def test_gate_stays_open_when_the_target_is_not_proven_better() -> None:
    verdict = give_verdict(GATE, cards(EVEN, SAME), facts())
    assert verdict.verdict == "INCONCLUSIVE"
    assert verdict.suites[1].verdict == "INCONCLUSIVE"
    assert verdict.suites[1].mde is not None


def test_gate_never_fails_a_candidate_equal_to_the_champion() -> None:
    same = {role: card("champion", "safety", 0.9, 0.5) for role in MODELS}
    house = {role: card("champion", "house", 0.5, 0.5) for role in MODELS}
    equal: dict[tuple[Role, str], Scorecard] = {}
    for role in MODELS:
        equal[role, "safety"], equal[role, "house"] = same[role], house[role]
    verdict = give_verdict(GATE, equal, facts())
    assert verdict.verdict == "INCONCLUSIVE"
    assert all(one.delta == 0 and one.p_harm == 1 for one in verdict.suites)


def test_gate_blocks_on_any_problem_whatever_the_numbers_say() -> None:
    verdict = give_verdict(GATE, cards(EVEN, BETTER), facts(problems=("champion/safety: there is no scorecard",)))
    assert verdict.verdict == "BLOCK"
    assert all(one.delta is None for one in verdict.suites)
    assert "there is no scorecard" in verdict.paragraph
    assert verdict.decision == 0


def test_gate_blocks_when_the_planned_decisions_are_used_up() -> None:
    assert give_verdict(GATE, cards(EVEN, BETTER), facts(decisions=29)).verdict == "PASS"
    used = give_verdict(GATE, cards(EVEN, BETTER), facts(decisions=30))
    assert used.verdict == "BLOCK"
    assert "nightshift gate reanchor" in used.problems[0]
    assert give_verdict(GATE, cards(EVEN, BETTER), facts(decisions=31)).verdict == "BLOCK"


def test_gate_warns_when_few_decisions_are_left() -> None:
    assert give_verdict(GATE, cards(EVEN, BETTER), facts(decisions=26)).warnings == ()
    (warning,) = give_verdict(GATE, cards(EVEN, BETTER), facts(decisions=27)).warnings
    assert warning == "2 of the anchor's 30 planned decisions are left"


def test_gate_never_passes_a_graded_suite_of_fewer_than_a_hundred_families() -> None:
    spec = GATE.suites[1]
    good = Comparison(n=99, delta=0.2, lower=0.1, upper=0.3, p_harm=1.0, spread=0.1)
    assert judge_suite(spec, good, good, False, True)[0] == "INCONCLUSIVE"
    assert judge_suite(spec, good._replace(n=100), good._replace(n=100), False, True)[0] == "PASS"
    # nor is the anchor's budget called spent by so few
    assert judge_suite(spec, good, good._replace(upper=-0.5), False, True)[0] == "INCONCLUSIVE"
    assert judge_suite(GATE.suites[0], good, good, False, False)[0] == "PASS"


NAN = float("nan")
GOOD = Comparison(n=200, delta=0.0, lower=-0.01, upper=0.01, p_harm=1.0, spread=0.1)
ANY = SuiteSpec(name="x", measure="probability", margin=0.02, budget=0.05)


@pytest.mark.parametrize("broken", [{"lower": NAN}, {"lower": -0.02}])
def test_gate_does_not_pass_on_a_bound_that_is_nan_or_at_the_margin(broken: dict[str, float]) -> None:
    assert judge_suite(ANY, GOOD, GOOD, False, False) == ("PASS", "proven no worse than the margin allows")
    assert judge_suite(ANY, GOOD._replace(**broken), GOOD, False, False)[0] == "INCONCLUSIVE"


@pytest.mark.parametrize(
    ("broken", "expected"),
    [
        ({"lower": NAN}, "INCONCLUSIVE"),
        ({"lower": -0.05}, "INCONCLUSIVE"),
        ({"upper": NAN}, "FAIL"),
        ({"upper": -0.0501}, "FAIL"),
        ({"upper": -0.05}, "PASS"),
    ],
)
def test_gate_does_not_pass_on_an_anchor_bound_that_is_nan_or_at_the_budget(
    broken: dict[str, float], expected: str
) -> None:
    assert judge_suite(ANY, GOOD, GOOD._replace(**broken), False, False)[0] == expected


def test_the_target_passes_only_above_zero() -> None:
    assert judge_suite(ANY, GOOD._replace(lower=0.0), GOOD, False, True)[0] == "INCONCLUSIVE"
    assert judge_suite(ANY, GOOD._replace(lower=1e-9), GOOD, False, True) == ("PASS", "proven better")


def test_a_suite_that_was_not_scored_to_its_end_is_never_passed() -> None:
    verdict, reason = judge_suite(ANY, GOOD, GOOD, False, False, complete=False)
    assert verdict == "INCONCLUSIVE"
    assert "not scored to its end" in reason
    assert judge_suite(ANY, GOOD, GOOD, True, False, complete=False)[0] == "FAIL"


@pytest.mark.parametrize(("wear", "expected"), [(0.02, "PASS"), (0.0201, "INCONCLUSIVE"), (NAN, "INCONCLUSIVE")])
def test_a_bank_whose_wear_is_above_the_margin_passes_nothing(wear: float, expected: str) -> None:
    assert judge_suite(ANY, GOOD, GOOD, False, False, wear=wear)[0] == expected


@pytest.mark.parametrize(
    ("suites", "breached", "expected"),
    [
        (["PASS", "PASS"], False, "PASS"),
        (["PASS", "PASS"], True, "FAIL"),
        (["PASS", "INCONCLUSIVE"], False, "INCONCLUSIVE"),
        (["INCONCLUSIVE", "FAIL"], False, "FAIL"),
        (["FAIL", "BLOCK"], True, "BLOCK"),
        ([], False, "BLOCK"),
    ],
)
def test_the_worst_suite_decides_and_no_suite_blocks(suites: list[Any], breached: bool, expected: str) -> None:
    assert overall(suites, breached) == expected


def test_no_limit_is_breached_where_none_is_given() -> None:
    assert overall(["PASS"]) == "PASS"


@pytest.mark.parametrize("measure", ["probability", "score"])
def test_the_models_own_scores_stand_beside_their_difference(measure: Any) -> None:
    gate = GATE.model_copy(update={"suites": (GATE.suites[0], GATE.suites[1].model_copy(update={"measure": measure}))})
    safety, house = give_verdict(gate, cards({**EVEN, "candidate": 0.95}, BETTER), facts()).suites
    assert (safety.candidate, safety.champion) == (0.95, 0.9)  # shares of right answers; their scores are about a half
    assert house.candidate == pytest.approx(0.6, abs=0.01)
    assert house.champion == pytest.approx(0.5, abs=0.01)


# --- what would settle it ---


def test_an_open_suite_says_how_many_items_would_clear_its_last_bound() -> None:
    close: dict[Role, float] = {"candidate": 0.502, "champion": 0.5, "anchor": 0.54}
    night = cards({"candidate": 0.86, "champion": 0.88, "anchor": 0.88}, close)
    strict = GATE.suites[0].model_copy(update={"margin": 0.03})
    verdict = give_verdict(GATE.model_copy(update={"suites": (strict, GATE.suites[1])}), night, facts())
    assert [one.verdict for one in verdict.suites] == ["INCONCLUSIVE", "INCONCLUSIVE"]
    for one, threshold, budget in zip(verdict.suites, (-0.03, 0.0), (0.15, 0.05), strict=True):
        by_role = {role: night[role, one.name].results for role in MODELS}
        near, far = (
            compare(one.measure, by_role["candidate"], by_role[role], NAMES, alpha)
            for role, alpha in (("champion", 0.05), ("anchor", 0.05 / 30))
        )
        needs = (
            items_to_settle(near.delta, near.spread, 0.05, threshold),
            items_to_settle(far.delta, far.spread, 0.05 / 30, -budget),
        )
        assert None not in needs
        assert needs[0] != needs[1]
        assert one.items_to_settle == max(needs)  # pyright: ignore


def test_a_suite_on_the_wrong_side_is_settled_by_no_number_of_items() -> None:
    worse: dict[Role, float] = {"candidate": 0.497, "champion": 0.5, "anchor": 0.5}
    house = give_verdict(GATE, cards(EVEN, worse), facts()).suites[1]
    assert (house.verdict, house.items_to_settle) == ("INCONCLUSIVE", None)


def test_the_share_of_sampling_noise_is_of_the_paired_differences() -> None:
    noise = random.Random(7)
    night = dict(cards(EVEN, BETTER))
    levels = {role: [noise.uniform(0.2, 0.9) for _ in NAMES] for role in MODELS}
    marks: dict[Role, list[tuple[float, float]]] = {
        role: [(level + noise.uniform(0, 0.1), level + noise.uniform(0, 0.1)) for level in levels[role]]
        for role in MODELS
    }
    for role in MODELS:
        results = zip(night[role, "house"].results, marks[role], strict=True)
        night[role, "house"] = night[role, "house"].model_copy(
            update={"results": tuple(one.model_copy(update={"marks": two}) for one, two in results)}
        )
    pairs = zip(marks["candidate"], marks["champion"], strict=True)
    expected = sampling_share([[a - b for a, b in zip(mine, old, strict=True)] for mine, old in pairs])
    safety, house = give_verdict(GATE, night, facts()).suites
    assert (safety.sampling, house.sampling) == (None, expected)
    assert expected is not None
    assert 0 < expected < 0.1  # most of it is between items


# --- waivers ---


def test_an_open_verdict_can_be_waived_only_while_every_anchor_bound_holds() -> None:
    open_ = give_verdict(GATE, cards(EVEN, SAME), facts())
    assert (open_.verdict, open_.waivable) == ("INCONCLUSIVE", True)
    # safety is matched to the champion, and 16 points below the anchor: the bound against it is open
    far: dict[Role, float] = {"candidate": 0.8, "champion": 0.8, "anchor": 0.9}
    unheld = give_verdict(GATE, cards(far, SAME), facts())
    assert (unheld.verdict, unheld.waivable) == ("INCONCLUSIVE", False)
    assert "A waiver can't promote it" in unheld.paragraph


def test_an_anchor_bound_exactly_at_the_budget_does_not_hold() -> None:
    near: dict[Role, float] = {"candidate": 0.88, "champion": 0.88, "anchor": 0.9}
    bound = give_verdict(GATE, cards(near, BETTER), facts()).suites[0].anchor_lower
    assert bound is not None
    edge = GATE.suites[0].model_copy(update={"budget": -bound})
    verdict = give_verdict(GATE.model_copy(update={"suites": (edge, GATE.suites[1])}), cards(near, BETTER), facts())
    assert (verdict.verdict, verdict.waivable) == ("INCONCLUSIVE", False)


def test_too_few_graded_families_can_not_be_waived_for_their_anchor_bound_is_unknown() -> None:
    gate = GATE.model_copy(update={"min_items": 1})
    few = Bank({name: f"f{k // 3}" for k, name in enumerate(NAMES)}, DIGESTS["items"], {})
    verdict = give_verdict(gate, cards(EVEN, BETTER), facts(banks={"safety": BANK, "house": few}))
    assert (verdict.verdict, verdict.waivable) == ("INCONCLUSIVE", False)
    assert verdict.suites[1].n == 67


# --- families, wear, lifetime ---


def test_families_are_counted_not_items() -> None:
    pairs = Bank({name: f"f{k // 2}" for k, name in enumerate(NAMES)}, DIGESTS["items"], {})
    verdict = give_verdict(GATE, cards(EVEN, BETTER), facts(banks={"safety": pairs, "house": BANK}))
    assert [(one.n, one.items) for one in verdict.suites] == [(100, 200), (200, 200)]
    alone = give_verdict(GATE, cards(EVEN, BETTER), facts())
    lower = [one.suites[0].lower for one in (verdict, alone)]
    assert lower[0] is not None
    assert lower[1] is not None
    assert lower[0] < lower[1]


def test_worn_items_warn_and_worn_out_ones_keep_a_suite_open() -> None:
    def judged(age: int) -> Any:
        worn = BANK._replace(ages=dict.fromkeys(NAMES, age))
        return give_verdict(GATE, cards(EVEN, BETTER), facts(banks={"safety": BANK, "house": worn}))

    fresh, worn, spent = judged(0), judged(250), judged(100_000)
    assert [one.suites[1].wear_state for one in (fresh, worn, spent)] == ["fresh", "worn", "spent"]
    assert [one.verdict for one in (fresh, worn, spent)] == ["PASS", "PASS", "INCONCLUSIVE"]
    assert "rotate items with `nightshift gate rotate`" in worn.warnings[0]
    assert "Rotate the items of house" in spent.paragraph
    # what isn't proven for worn items may be waived: the anchor's bound holds
    assert spent.waivable


def test_what_re_anchoring_has_added_is_in_the_lifetime_loss() -> None:
    verdict = give_verdict(GATE, cards({**EVEN, "candidate": 0.89}, BETTER), facts(lost={"safety": -0.03}))
    assert verdict.suites[0].anchor_delta == pytest.approx(-0.01)
    assert verdict.suites[0].lifetime == pytest.approx(-0.04)
    assert verdict.suites[1].lifetime == verdict.suites[1].anchor_delta


def test_suites_without_fresh_items_are_warned_of() -> None:
    verdict = give_verdict(GATE, cards(EVEN, BETTER), facts(exhausted=("safety",)))
    assert verdict.warnings == ("safety: no fresh items are left to rotate in; add sealed ones",)


# --- early stop ---


def stopped(upto: int, lost: int) -> Cards:
    """A night whose candidate lost its first ``lost`` safety items in the order of looks, and was stopped."""
    found = dict(cards(EVEN, BETTER))
    order = [NAMES[place] for place in looks_of("right", BANK).order]
    whole = {one.id: one for one in card("champion", "safety", 1.0, 0.5).results}
    found["champion", "safety"] = found["champion", "safety"].model_copy(update={"results": tuple(whole.values())})
    new = tuple(whole[id_].model_copy(update={"right": k >= lost}) for k, id_ in enumerate(order[:upto]))
    found["candidate", "safety"] = found["candidate", "safety"].model_copy(update={"results": new, "stopped": True})
    found["candidate", "house"] = found["candidate", "house"].model_copy(update={"results": (), "stopped": True})
    return found


def test_a_scoring_that_stopped_for_proven_harm_is_a_fail_and_says_how_far_it_came() -> None:
    verdict = give_verdict(GATE, stopped(50, 40), facts())
    assert (verdict.verdict, verdict.stopped, verdict.waivable) == ("FAIL", True, False)
    safety, house = verdict.suites
    assert (safety.verdict, safety.items, safety.look) == ("FAIL", 50, 0.25)
    assert (safety.anchor_lower, safety.anchor_upper) == (None, None)  # a part chosen by what was seen gives no bound
    assert (house.verdict, house.delta) == ("INCONCLUSIVE", None)
    assert "at the look at 50 of 200 items" in safety.reason
    assert "Scoring stopped there" in verdict.paragraph


def test_one_stopped_scorecard_of_the_candidate_is_a_stop_and_a_baselines_is_none() -> None:
    """After a rotation the candidate's other scorecards may be whole; a baseline's are refused elsewhere."""
    found = dict(stopped(50, 40))
    found["candidate", "house"] = cards(EVEN, BETTER)["candidate", "house"]
    verdict = give_verdict(GATE, found, facts())
    assert (verdict.verdict, verdict.stopped) == ("FAIL", True)
    for role in ("champion", "anchor"):
        whole = dict(cards(EVEN, BETTER))
        whole[role, "safety"] = whole[role, "safety"].model_copy(update={"stopped": True})
        assert not give_verdict(GATE, whole, facts()).stopped


def test_a_scoring_that_stopped_without_proof_of_harm_blocks() -> None:
    verdict = give_verdict(GATE, stopped(50, 2), facts())
    assert verdict.verdict == "BLOCK"
    assert "prove no harm" in verdict.problems[0]


# --- drift ---


DRIFT = GATE.model_copy(
    update={
        "drift": DriftSpec(
            length=Limits(margin=0.1, budget=0.2), refusal=Limits(margin=0.1, budget=0.2), max_kl=0.5, max_empty=0.1
        )
    }
)


def drift_card(role: Role, kl: float = 0.1, refused: int = 0, text: str = "yes") -> Scorecard:
    results = tuple(
        ItemResult(
            id=name,
            right=True,
            score=1.0,
            answers=(text,),
            measures=(
                ("tokens", 10.0),
                ("anchor_tokens", 10.0),
                ("length", 1.0),
                ("refusal", float(k < refused)),
                ("repetition", 0.0),
                ("language", 1.0),
                ("kl", kl),
            ),
        )
        for k, name in enumerate(NAMES)
    )
    return card(role, "drift", 1.0, 0.5).model_copy(update={"results": results})


def drifting(**candidate: Any) -> Cards:
    found = dict(cards(EVEN, BETTER))
    for role in MODELS:
        found[role, "drift"] = drift_card(role, **(candidate if role == "candidate" else {}))
    return found


def test_measures_of_drift_are_judged_as_suites_and_limits_beside_them() -> None:
    verdict = give_verdict(DRIFT, drifting(), facts())
    assert verdict.verdict == "PASS"
    assert [one.name for one in verdict.suites] == ["safety", "house", "drift-length", "drift-refusal"]
    assert [(one.name, one.breached) for one in verdict.limits] == [
        ("KL to the anchor, nats a token", False),
        ("empty answers", False),
    ]


def test_only_the_suite_of_drift_is_taken_apart_into_measures() -> None:
    """Whatever its name sorts before: here accuracy."""
    accuracy = DRIFT.suites[0].model_copy(update={"name": "accuracy"})
    found: Cards = {
        (role, "accuracy" if name == "safety" else name): one.model_copy(
            update={"suite": "accuracy" if name == "safety" else name}
        )
        for (role, name), one in drifting().items()
    }
    banks = {"accuracy": BANK, "house": BANK, "drift": BANK}
    gate = DRIFT.model_copy(update={"suites": (accuracy, DRIFT.suites[1])})
    verdict = give_verdict(gate, found, facts(banks=banks))
    assert verdict.verdict == "PASS"
    assert [one.name for one in verdict.suites] == ["accuracy", "house", "drift-length", "drift-refusal"]


def test_a_model_that_begins_to_refuse_fails_by_drift() -> None:
    verdict = give_verdict(DRIFT, drifting(refused=40), facts())
    assert verdict.verdict == "FAIL"
    assert verdict.suites[3].verdict == "FAIL"


def test_an_answers_changed_length_is_limited_and_never_called_harm() -> None:
    """The champion is the anchor and at no distance from it: any candidate would be proven to be further away."""
    found = dict(drifting())
    moved = tuple(
        one.model_copy(update={"measures": tuple((k, 0.95 if k == "length" else v) for k, v in one.measures)})
        for one in found["candidate", "drift"].results
    )
    found["candidate", "drift"] = found["candidate", "drift"].model_copy(update={"results": moved})
    verdict = give_verdict(DRIFT, found, facts())
    assert (verdict.verdict, verdict.suites[2].p_harm) == ("PASS", 1.0)
    assert verdict.suites[2].delta == pytest.approx(-0.05)
    far = tuple(
        one.model_copy(update={"measures": tuple((k, 0.7 if k == "length" else v) for k, v in one.measures)})
        for one in moved
    )
    found["candidate", "drift"] = found["candidate", "drift"].model_copy(update={"results": far})
    assert "the budget is spent" in give_verdict(DRIFT, found, facts()).suites[2].reason


@pytest.mark.parametrize(("changes", "said"), [({"kl": 0.51}, "KL to the anchor"), ({"text": " "}, "empty answers")])
def test_a_breached_fixed_limit_fails_though_every_suite_passes(changes: dict[str, Any], said: str) -> None:
    verdict = give_verdict(DRIFT, drifting(**changes), facts())
    assert verdict.verdict == "FAIL"
    assert said in verdict.paragraph
    assert all(one.verdict != "FAIL" for one in verdict.suites)
    assert give_verdict(DRIFT, drifting(kl=0.5), facts()).verdict == "PASS"  # at the limit is within it


def test_a_fixed_limit_that_could_not_be_measured_blocks() -> None:
    without = dict(drifting())
    bare = tuple(one.model_copy(update={"measures": one.measures[:-1]}) for one in drift_card("candidate").results)
    without["candidate", "drift"] = without["candidate", "drift"].model_copy(update={"results": bare})
    (problem,) = find_problems(DRIFT, without, facts())
    assert "KL to the anchor, nats a token could not be measured" in problem
    assert give_verdict(DRIFT, without, facts()).verdict == "BLOCK"


# --- A/A ---


QUIET = tuple(
    Noise(suite=name, items=64, flips=0, gap=1e-5, floor=1e-3, cause="another champion") for name in ("safety", "house")
)


def test_a_champion_that_disagrees_with_itself_blocks_and_the_cause_is_named() -> None:
    gate = GATE.model_copy(update={"aa_items": 64})
    assert give_verdict(gate, cards(EVEN, BETTER), facts(noise=QUIET)).verdict == "PASS"
    for loud in ({"gap": 0.0011}, {"flips": 1}, {"gap": NAN}):
        noise = (QUIET[0].model_copy(update=loud), QUIET[1])
        verdict = give_verdict(gate, cards(EVEN, BETTER), facts(noise=noise))
        assert verdict.verdict == "BLOCK"
        assert "what is new: another champion" in verdict.problems[0]


def test_a_missing_check_of_the_champion_against_itself_blocks() -> None:
    gate = GATE.model_copy(update={"aa_items": 64})
    verdict = give_verdict(gate, cards(EVEN, BETTER), facts(noise=QUIET[:1]))
    assert verdict.problems == ("house: there is no A/A check of the champion on this engine",)


# --- scorecards that can't be used ---


def problems(role: Role = "candidate", **changes: Any) -> list[str]:
    good = card(role, "safety", 0.9, 0.5)
    changed = good.model_copy(update=changes)
    return card_problems(role, GATE.suites[0], changed, {"model": MODELS[role], **DIGESTS}, BANK, 150)


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


def test_gate_refuses_a_stopped_scorecard_that_ends_at_no_look_or_is_a_baselines() -> None:
    results = {one.id: one for one in card("candidate", "safety", 0.9, 0.5).results}
    order = [NAMES[place] for place in looks_of("right", BANK).order]
    for upto, fine in ((0, True), (50, True), (150, True), (49, False), (120, False)):
        part = tuple(results[id_] for id_ in order[:upto])
        assert (problems(results=part, stopped=True) == []) is fine, upto
    assert "are missing" in problems("champion", results=tuple(results[id_] for id_ in order[:50]), stopped=True)[0]


def test_gate_refuses_items_without_a_finite_score() -> None:
    results = card("candidate", "safety", 0.9, 0.5).results
    assert "no finite score" in problems(results=results[1:], unscorable=("i000",))[0]


def test_gate_refuses_too_few_families_and_a_missing_card() -> None:
    expected = {"model": MODELS["candidate"], **DIGESTS}
    good = card("candidate", "safety", 0.9, 0.5)
    twins = BANK._replace(families={name: f"f{k // 2}" for k, name in enumerate(NAMES)})
    assert card_problems("candidate", GATE.suites[0], good, expected, twins, 100) == []
    assert "at least 101" in card_problems("candidate", GATE.suites[0], good, expected, twins, 101)[0]
    assert card_problems("anchor", GATE.suites[0], None, expected, BANK, 150) == [
        "anchor/safety: there is no scorecard"
    ]
