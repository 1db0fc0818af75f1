"""benchmarks/nights.py in small: the simulated models are what the text says, and stricter rules lose less."""

import json
import math
from collections.abc import Callable

import numpy as np
import pytest

from benchmarks import nights
from benchmarks.nights_suites import GRADED_SPREAD, draw, harmed, looks_of, predicted, simulate_suites, suite_sizes
from benchmarks.nights_years import (
    LEAST,
    RULES,
    START,
    STEPS,
    Answers,
    Bank,
    Counts,
    Rule,
    fresh,
    inherited_answers,
    own_answers,
    promotion,
    simulate,
)
from infra.settings import ROOT
from tasks.gate.statistics import Discordant, tango_bounds, z_of
from tasks.recipe import GateSpec, load_recipe

NAIVE, NIGHTLY, AT_ALPHA, AT_365, FULL = RULES


@pytest.fixture(scope="module")
def answers() -> Answers:
    return own_answers()


@pytest.fixture(scope="module")
def gate() -> GateSpec:
    return load_recipe(ROOT / "recipes/demo.toml").gate


def test_chances_have_the_accuracy_as_their_mean_and_the_disagreement_at_the_start(answers: Answers) -> None:
    chances = answers.chances
    assert chances.mean(1) == pytest.approx(np.arange(1001) / 1000, abs=1e-12)
    disagreement = 2 * (chances * (1 - chances)).mean(1)
    assert disagreement[START] == pytest.approx(0.08, abs=1e-4)
    assert disagreement[500] == pytest.approx(0.125, abs=1e-4)
    assert (np.diff(chances, axis=0) > -1e-9).all()  # a better model is better on every item


def test_inherited_answers_disagree_as_much() -> None:
    kept = inherited_answers().kept
    assert (1 - kept) * 2 * 0.8 * 0.2 == pytest.approx(0.08)


def test_fresh_counts_have_the_true_difference_and_disagreement(answers: Answers) -> None:
    rng = np.random.default_rng(0)
    years = 400
    candidate, champion = np.full(years, 790), np.full(years, 800)
    counts = fresh(candidate, champion, np.ones(years, bool), 2000, rng, answers.chances)
    for b, c in ((counts.b, counts.c), (counts.far_b, counts.far_c)):
        assert float((b - c).mean() / 2000) == pytest.approx(-0.01, abs=0.001)
        assert float((b + c).mean() / 2000) == pytest.approx(0.08, abs=0.003)
    # champion's and anchor's comparison share the candidate's noise
    assert np.corrcoef(counts.b - counts.c, counts.far_b - counts.far_c)[0, 1] == pytest.approx(0.5, abs=0.12)


def test_before_the_first_promotion_the_champion_is_the_anchor(answers: Answers) -> None:
    counts = fresh(
        np.full(5, 797), np.full(5, 800), np.zeros(5, bool), 500, np.random.default_rng(0), answers.chances
    )  # fmt: skip
    assert (counts.b == counts.far_b).all()
    assert (counts.c == counts.far_c).all()


@pytest.mark.parametrize("reading", [own_answers, inherited_answers])
def test_a_bank_keeps_its_answers_until_one_is_promoted(reading: Callable[[], Answers]) -> None:
    bank = Bank(3, 400, np.random.default_rng(0), reading())
    champion = np.full(3, START)
    before = bank.champion.copy()
    counts = bank.score(champion - 3, champion)
    assert (counts.b == counts.far_b).all()
    bank.promote(np.array([True, False, False]))
    assert (bank.champion[0] == bank.candidate[0]).all()
    assert (bank.champion[1:] == before[1:]).all()
    assert (bank.anchor == before).all()
    assert float((counts.b + counts.c).mean() / 400) == pytest.approx(0.08, abs=0.03)


@pytest.mark.parametrize("rule", [NIGHTLY, AT_365, FULL])
def test_rules_are_the_products_own_bounds(rule: Rule) -> None:
    rng = np.random.default_rng(1)
    b, c, far_b, far_c = rng.integers(5, 40, (4, 60))
    promoted = promotion(rule, 500, rng)(Counts(b, c, far_b, far_c))
    for index in range(60):
        near = tango_bounds(Discordant(int(b[index]), int(c[index]), 500), z_of(0.05))[0]
        passes = near > -0.02
        if rule.anchor_alpha is not None:
            far = tango_bounds(Discordant(int(far_b[index]), int(far_c[index]), 500), z_of(rule.anchor_alpha))[0]
            passes &= far > -0.03
        if rule.better:
            passes &= near > 0
        assert promoted[index] == passes


def nights_counts(b: np.ndarray, c: np.ndarray, far_b: np.ndarray, far_c: np.ndarray):
    from benchmarks.nights_years import Counts

    return Counts(b, c, far_b, far_c)


def test_the_same_seed_gives_the_same_years(answers: Answers) -> None:
    one, two = (
        simulate(NAIVE, 500, STEPS["worse"], 3, np.random.default_rng(7), answers, nights=30).points for _ in range(2)
    )
    assert (one == two).all()


def test_stricter_rules_lose_less_and_points_follow_promotions(answers: Answers) -> None:
    lost = []
    for rule in (NIGHTLY, AT_ALPHA, AT_365, FULL):
        year = simulate(rule, 2000, STEPS["worse"], 10, np.random.default_rng(3), answers, nights=120)
        assert year.points == pytest.approx(-0.3 * year.promotions)
        lost.append(float(year.points.mean()))
    assert lost == sorted(lost)
    assert lost[0] < -25
    assert lost[-1] > -2


def test_nobody_falls_below_the_least_accuracy(answers: Answers) -> None:
    year = simulate(NIGHTLY, 2000, ((-30, 1.0),), 5, np.random.default_rng(3), answers, nights=200)
    assert (year.points * 10 + START >= LEAST).all()


def test_the_full_rule_keeps_an_improving_model_ahead(answers: Answers) -> None:
    better = simulate(FULL, 2000, ((20, 1.0),), 5, np.random.default_rng(3), answers, nights=20)
    assert (better.points > 5).all()


def test_a_reused_bank_flatters_its_champion(answers: Answers) -> None:
    year = simulate(NAIVE, 500, STEPS["equal"], 10, np.random.default_rng(3), answers, reused=True, nights=60)
    assert 0.5 < float(year.luck.mean()) / (100 * math.sqrt(0.08 / 500)) < 3


def test_suites_have_the_recipes_sizes(gate: GateSpec) -> None:
    sizes = suite_sizes(gate, ROOT)
    assert set(sizes) == {spec.name for spec in gate.suites}
    assert all(gate.min_items <= size <= gate.max_items for size in sizes.values())


def test_drawn_suites_have_the_gain_and_the_spread(gate: GateSpec, answers: Answers) -> None:
    rng = np.random.default_rng(0)
    for spec in gate.suites:
        new, old, far = draw(spec, 40000, 0.05, rng, answers.chances)
        expected = math.sqrt(0.08) if spec.measure == "right" else GRADED_SPREAD
        assert float((new - old).mean()) == pytest.approx(0.05, abs=0.005)
        assert float((far - old).mean()) == pytest.approx(0.0, abs=0.005)
        assert float((new - old).std()) == pytest.approx(expected, abs=0.01)


def test_harm_is_found_in_what_is_harmed_only(gate: GateSpec, answers: Answers) -> None:
    rng = np.random.default_rng(0)
    for spec in gate.suites:
        looks = looks_of(spec, 400)
        new, old, _ = draw(spec, 400, 0.0, rng, answers.chances)
        assert not harmed(spec, np.zeros(400), looks, 0.0125)
        assert harmed(spec, new - old - (rng.random(400) < 0.2), looks, 0.0125)


def test_a_candidate_that_is_far_better_is_seldom_held_back(gate: GateSpec, answers: Answers) -> None:
    sizes = suite_sizes(gate, ROOT)
    better = simulate_suites(gate, sizes, 0.06, 40, np.random.default_rng(0), answers.chances)
    equal = simulate_suites(gate, sizes, 0.0, 40, np.random.default_rng(0), answers.chances)
    assert better.passed > 0.7
    assert equal.passed < 0.25
    assert equal.bounds == pytest.approx(predicted(gate, sizes).likely, abs=0.22)
    assert equal.passed + equal.failed <= 1


def test_the_last_line_is_json_with_every_table(capsys: pytest.CaptureFixture[str]) -> None:
    nights.main(["--years", "2", "--repeats", "3"])
    found = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert found["years"] == 2
    for mixture in ("worse", "mixed"):
        assert set(found[mixture]) == {"fresh 500", "fresh 2000", "re-used 500", "re-used 2000"}
        assert all(set(rules) == {rule.name for rule in RULES} for rules in found[mixture].values())
    assert len(found["given"]) == 8
    assert len(found["suites"]["rows"]) == 5
    assert found["wear"]["formula"] == [1.61, 2.38, 3.22, 4.13]


@pytest.mark.slow
def test_the_headline_is_within_three_standard_errors_of_an_independent_simulation() -> None:
    found = nights.main(["--repeats", "3"])
    assert len(found["given"]) == 8
    assert all(one["apart"] < 3 for one in found["given"]), found["given"]
