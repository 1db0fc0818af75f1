"""One scoring, with an engine made up for tests: what is scored, in which order, by whom, and when it ends early."""

import hashlib
import multiprocessing
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from infra.digest import digest_of
from tasks.contracts import Engine
from tasks.gate.result_store import ResultStore
from tasks.gate.scorecard import ItemResult
from tasks.gate.scorers import Context
from tasks.gate.scoring_run import (
    Job,
    Outcome,
    Process,
    batched,
    card_of,
    may_stop,
    run_job,
    score_twice,
    stages,
    suites_to_score,
)
from tasks.gate.sharing import Claims, finish
from tasks.gate.suites import Check, Item, Message, Scorer, Suite, build_suite
from tasks.recipe import DriftSpec, GateSpec, Limits, SuiteSpec

MODEL = digest_of("model")
ENGINE = Engine(name="packed", device="cpu", dtype="float32", tokens=100, form="merged", quantise=None)
GATE = GateSpec(
    target="house",
    suites=(
        SuiteSpec(name="safety", measure="right", margin=0.08, budget=0.15),
        SuiteSpec(name="house", measure="probability", margin=0.02, budget=0.05),
    ),
)


class MadeUpEngine:
    """Log-probabilities by the hash of the prompt; ``wrong``: every answer is; ``die_after``: items until it dies."""

    def __init__(
        self, *, wrong: bool = False, die_after: int | None = None, noise: float = 0.0, slow: float = 0
    ) -> None:
        self.wrong, self.die_after, self.noise, self.slow = wrong, die_after, noise, slow
        self.asked: list[str] = []
        self.batches: list[int] = []

    def choice_logprobs(self, items: Sequence[Item], scorer: Scorer) -> list[list[tuple[float, int]]]:
        time.sleep(self.slow)
        self.batches.append(len(items))
        found = []
        for one in items:
            text = one.messages[-1].content
            self.asked.append(text)
            if self.die_after is not None and len(self.asked) > self.die_after:
                raise KeyboardInterrupt
            luck = hashlib.sha256(text.encode()).digest()[0] / 2550
            losses = [2.0 if self.wrong else self.noise * len(self.batches), 0.0 if self.wrong else 2.0]
            found.append([(-1.0 - luck - loss, 3) for loss, _ in zip(losses, one.choices, strict=True)])
        return found

    def generate(self, items: Sequence[Item], scorer: Scorer) -> list[list[list[int]]]:
        self.batches.append(len(items))
        return [[[len(one.messages[-1].content)]] for one in items]

    def answer(self, tokens: Sequence[int], scorer: Scorer) -> str:
        return f"It is {tokens[0]}."


def item(name: str, number: int) -> Item:
    messages = (Message(role="user", content=f"{name} {number:03}"),)
    return Item(id=f"{name}-{number:03}", messages=messages, choices=("yes", "no"), answer=0)


def suite(name: str, count: int = 200) -> Suite:
    return build_suite(name, Scorer(), [item(name, number) for number in range(count)])


SUITES = {"safety": suite("safety"), "house": suite("house")}


def champion() -> dict[str, dict[str, ItemResult]]:
    return {
        name: {one.id: ItemResult(id=one.id, right=True, score=0.85) for one in suite.items}
        for name, suite in SUITES.items()
    }


def job(folder: Path, against: dict[str, dict[str, ItemResult]] | None = None) -> Job:
    stores = {name: ResultStore(folder / "results" / name) for name in SUITES}
    return Job(MODEL, SUITES, stores, against or {})


def run(folder: Path, engine: MadeUpEngine, against: Any = None, gate: GateSpec = GATE, **process: Any) -> Outcome:
    claims = Claims(folder / f"claims-{len(list(folder.glob('claims-*')))}")
    here = Process(process.get("number", 0), process.get("claims", claims), lambda: False)
    asked: Any = engine  # of choice suites, drift's part of an engine is never asked
    return run_job(
        job(folder, against), gate, asked, Context(), lambda one, scorer: 10, 100, here, lambda count, what: None
    )


def test_every_item_is_scored_once_in_batches_of_a_tokens_budget(tmp_path: Path) -> None:
    engine = MadeUpEngine()
    outcome = run(tmp_path, engine)
    assert {name: len(found) for name, found in outcome.results.items()} == {"safety": 200, "house": 200}
    assert len(engine.asked) == len(set(engine.asked)) == 400
    assert set(engine.batches) == {10}
    assert not outcome.stopped


def test_a_killed_scoring_goes_on_where_it_stopped(tmp_path: Path) -> None:
    whole = run(tmp_path / "whole", MadeUpEngine())
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path / "cut", MadeUpEngine(die_after=155))
    again = MadeUpEngine()
    assert run(tmp_path / "cut", again).results == whole.results
    assert len(again.asked) == 400 - 150  # the batch that was cut is scored again, and no other


def test_an_item_that_changed_by_a_letter_is_scored_again_and_no_other(tmp_path: Path) -> None:
    run(tmp_path, MadeUpEngine())
    changed = build_suite("safety", Scorer(), [item("safety", n) for n in range(199)] + [item("safety", 999)])
    engine = MadeUpEngine()
    here = Process(0, Claims(tmp_path / "more"), lambda: False)
    part = job(tmp_path)._replace(suites={"safety": changed})
    run_job(part, GATE, engine, Context(), lambda one, scorer: 10, 100, here, lambda count, what: None)  # pyright: ignore
    assert engine.asked == ["safety 999"]


def test_scoring_stops_at_the_first_look_that_proves_harm_and_the_cards_say_so(tmp_path: Path) -> None:
    engine = MadeUpEngine(wrong=True)
    outcome = run(tmp_path, engine, champion())
    assert outcome.stopped
    # a quarter of safety; of house, the first look with a hundred families is at the half
    assert {name: len(found) for name, found in outcome.results.items()} == {"safety": 50, "house": 0}
    card = card_of(MODEL, SUITES["safety"], outcome.results["safety"], ENGINE, None, stopped=outcome.stopped)
    assert (card.stopped, len(card.results)) == (True, 50)
    later = run(tmp_path / "later", MadeUpEngine(wrong=True), champion(), GATE.model_copy(update={"early_stop": False}))
    assert not later.stopped
    assert len(later.results["safety"]) == 200


def test_an_unharmed_candidate_is_scored_to_its_end_and_its_cards_are_whole(tmp_path: Path) -> None:
    outcome = run(tmp_path, MadeUpEngine(), champion())
    assert not outcome.stopped
    for name, suite_ in SUITES.items():
        card = card_of(MODEL, suite_, outcome.results[name], ENGINE, None, stopped=outcome.stopped)
        assert (card.stopped, len(card.results)) == (False, 200)


def test_harm_is_looked_for_only_where_every_judged_suite_has_the_champions_results() -> None:
    assert may_stop(GATE, SUITES, champion())
    assert not may_stop(GATE, {"safety": SUITES["safety"]}, champion())  # the other one can't be read: the gate blocks
    assert not may_stop(GATE, SUITES, {"safety": {}})
    assert not may_stop(GATE.model_copy(update={"early_stop": False}), SUITES, champion())
    drifting = GATE.model_copy(update={"drift": DriftSpec(refusal=Limits(margin=0.1, budget=0.2))})
    assert not may_stop(drifting, SUITES, champion())


def test_a_candidate_that_lacks_one_scorecard_is_taken_through_all_suites_and_only_new_items_are_scored(
    tmp_path: Path,
) -> None:
    assert suites_to_score(["safety"], SUITES, aa=False, stops=True) == ["safety", "house"]
    assert suites_to_score(["safety"], SUITES, aa=False, stops=False) == ["safety"]
    assert suites_to_score([], SUITES, aa=False, stops=True) == []
    assert suites_to_score([], SUITES, aa=True, stops=False) == ["safety", "house"]
    run(tmp_path, MadeUpEngine())
    rotated = {**SUITES, "safety": build_suite("safety", Scorer(), [item("safety", n) for n in range(20, 220)])}
    old = champion()
    old["safety"] = {one.id: ItemResult(id=one.id, right=True, score=0.85) for one in rotated["safety"].items}
    engine: Any = MadeUpEngine(wrong=True)
    part = job(tmp_path, old)._replace(suites=rotated)
    here = Process(0, Claims(tmp_path / "more"), lambda: False)
    outcome = run_job(part, GATE, engine, Context(), lambda one, scorer: 10, 100, here, lambda count, what: None)
    assert len(outcome.results["house"]) == 200
    assert set(engine.asked) <= {f"safety {n:03}" for n in range(200, 220)}


def test_a_job_that_lacks_a_judged_suite_is_scored_to_its_end_without_looks(tmp_path: Path) -> None:
    """Drift without the anchor's answers, or a judge model that isn't calibrated: the gate blocks, nothing crashes."""
    part = job(tmp_path, champion())._replace(suites={"safety": SUITES["safety"]})
    here = Process(0, Claims(tmp_path / "claims"), lambda: False)
    wrong: Any = MadeUpEngine(wrong=True)
    outcome = run_job(part, GATE, wrong, Context(), lambda one, scorer: 10, 100, here, lambda count, what: None)
    assert not outcome.stopped
    assert {name: len(found) for name, found in outcome.results.items()} == {"safety": 200}


def test_stages_hold_every_item_once(tmp_path: Path) -> None:
    found = list(stages(job(tmp_path, champion()), GATE))
    assert [[len(items) for _, items in parts] for parts in found] == [[50, 0], [50, 100], [50, 50], [50, 50]]
    ids = [one.id for parts in found for _, items in parts for one in items]
    assert sorted(ids) == sorted(one.id for suite_ in SUITES.values() for one in suite_.items)


def test_a_result_that_is_not_finite_is_kept_as_none_and_named_in_the_card(tmp_path: Path) -> None:
    class Broken(MadeUpEngine):
        def choice_logprobs(self, items: Sequence[Item], scorer: Scorer) -> list[list[tuple[float, int]]]:
            return [[(float("nan") if one.id == "safety-007" else -1.0, 1), (-2.0, 1)] for one in items]

    outcome = run(tmp_path, Broken())
    card = card_of(MODEL, SUITES["safety"], outcome.results["safety"], ENGINE, None, stopped=False)
    assert card.unscorable == ("safety-007",)
    assert len(card.results) == 199


def _take_part(folder: Path, claims: Path, number: int, sender: Any) -> None:
    engine = MadeUpEngine(slow=0.02)
    run(folder, engine, champion(), number=number, claims=Claims(claims))
    sender.send(engine.asked)


def test_two_processes_share_a_suite_and_no_item_is_scored_twice(tmp_path: Path) -> None:
    receiver, sender = multiprocessing.Pipe(duplex=False)
    other = multiprocessing.Process(target=_take_part, args=(tmp_path, tmp_path / "claims", 1, sender))
    other.start()
    engine = MadeUpEngine(slow=0.02)
    here = Process(0, Claims(tmp_path / "claims"), other.is_alive)
    against = champion()
    asked: Any = engine
    outcome = run_job(
        job(tmp_path, against), GATE, asked, Context(), lambda one, scorer: 10, 100, here, lambda c, w: None
    )
    theirs = receiver.recv()
    other.join()
    assert {name: len(found) for name, found in outcome.results.items()} == {"safety": 200, "house": 200}
    assert len(theirs) > 50
    assert len(engine.asked) > 50
    assert not set(theirs) & set(engine.asked)


def test_what_a_dead_process_had_claimed_is_done_by_the_one_that_leads(tmp_path: Path) -> None:
    claims = Claims(tmp_path / "claims")
    assert all(claims.take(f"{MODEL[7:23]}-safety-0", batch) for batch in range(3))
    outcome = run(tmp_path, MadeUpEngine(), claims=claims)
    assert len(outcome.results["safety"]) == 200


def test_finish_waits_for_the_living_and_works_for_the_dead() -> None:
    left = [[1, 2, 3], [1, 2], [2]]
    done: list[Any] = []
    finish(lambda: left.pop(0) if len(left) > 1 else left[0], lambda: len(left) > 1, done.append)
    assert done == [[2]]
    finish(lambda: [], lambda: True, done.append)
    assert done == [[2]]


def test_generated_answers_are_batched_by_number_and_checked() -> None:
    generated = build_suite(
        "say",
        Scorer(kind="checks", max_tokens=8),
        [item("say", n).model_copy(update={"checks": (Check(kind="number", number=float(7)),)}) for n in range(70)],
    )
    assert [len(one) for one in batched(generated, generated.items, lambda one, scorer: 10_000, 100)] == [32, 32, 6]
    engine = MadeUpEngine()
    noise = score_twice({"say": generated}, {"say": {}}, 10, 1e-3, "new", engine, Context(), lambda one, scorer: 1, 100)  # pyright: ignore
    assert noise[0].flips == 10  # nothing to compare with: every item is a flip


def test_scoring_twice_in_other_batches_finds_an_engine_that_depends_on_the_batch(tmp_path: Path) -> None:
    outcome = run(tmp_path, MadeUpEngine())
    for noise, loud in ((0.0, False), (0.05, True)):
        engine = MadeUpEngine(noise=noise)
        found = score_twice(SUITES, outcome.results, 64, 1e-3, "new", engine, Context(), lambda one, scorer: 10, 100)  # pyright: ignore
        assert [one.suite for one in found] == ["safety", "house"]
        assert [one.gap > 1e-3 for one in found] == [loud, loud]
        assert set(engine.batches) <= {5, 4}
