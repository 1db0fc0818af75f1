"""The score and judge steps, and what they need before: the night's suites."""

import json
from collections import Counter
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from infra.digest import Digest
from infra.jsonl import dump_lines, load_lines
from infra.ledger import ledger_path, read_ledger
from infra.step import step
from infra.store import Blob
from tasks import place
from tasks.chained import makes_candidate
from tasks.compared import Distance, Marks
from tasks.contracts import (
    Baselines,
    Bill,
    Candidate,
    Device,
    Engine,
    Night,
    Plan,
    Portability,
    Preferences,
    Scores,
    Snapshot,
    Suites,
    Trained,
    TwinRows,
    Verdict,
)
from tasks.errors import SuiteError
from tasks.gate.choice import phase_tags, shared
from tasks.gate.decisions import (
    decisions_before,
    decisions_of_others,
    measured_spreads,
    past_nights,
    reanchorings,
    rotations,
)
from tasks.gate.fresh import count_fresh, moved_on
from tasks.gate.items import Epochs, bank_at, by_ledger, folders, read_suites, tonight
from tasks.gate.judge import actual_digest, all_cards, identity_of, judge_candidates, read_decisions
from tasks.gate.methods import marks_of
from tasks.gate.plan_gate import Planned, known_of, plan_gate
from tasks.gate.probe_set import probe_of
from tasks.gate.rotate import rotate_by_hand
from tasks.gate.score import engine_of, models_by_role, score_all
from tasks.gate.side_by_side import flips_of
from tasks.gate.suites import Bank, Suite
from tasks.gate.twins import twin_rows, twin_topics
from tasks.gate.weak import weak_topics
from tasks.gate.work import intact
from tasks.parts import LINES
from tasks.recipe import Recipe, load_recipe


def suites_of(recipe: Recipe, core: Digest) -> Suites:
    """The gate's own suites; read every night, so that an edited item is seen.

    Args:
        core: the night's inputs but the suites; its own decision, made before, must not rotate the items.
    """
    return _suites_of(recipe, core, lambda epochs: epochs)


def fresh_suites(recipe: Recipe, core: Digest, names: Iterable[str], judgements: int) -> Suites:
    """The suites once more, ``names`` of them on items that the night's judgements so far haven't seen."""
    return _suites_of(recipe, core, lambda epochs: moved_on(epochs, names, judgements))


def fresh_items(suites: Suites, seen: Iterable[Suites]) -> dict[str, tuple[int, int]]:
    """Suite → (items that none of the judgements in ``seen`` was over, all)."""
    return count_fresh(_read(suites), [_read(one) for one in seen])


def _read(suites: Suites) -> dict[str, Suite]:
    found = json.loads(place.store().read_bytes(suites.suites))
    return {name: Suite.model_validate(raw) for name, raw in found.items()}


def _suites_of(recipe: Recipe, core: Digest, moved: Callable[[Epochs], Epochs]) -> Suites:
    entries, problems = read_decisions(ledger_path(place.home(), recipe.name), Baselines(champion=None, anchor=None))
    epochs = by_ledger(decisions_of_others(entries, core), partial(rotations, entries))
    suites = read_suites(recipe, place.ROOT, place.store(), moved(epochs))
    return suites.model_copy(update={"problems": (*problems, *suites.problems)})


def weak_twins(
    recipe: Recipe,
    suites: Suites,
    preferences: Preferences,
    candidate: Candidate,
    baselines: Baselines,
    scores: Scores,
    verdict: Verdict,
    number: int,
) -> TwinRows:
    """Training twins of the topics that this candidate is weakest on: what round ``number`` trains on."""
    store = place.store()
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    banks: dict[str, Bank] = {
        name: bank_at(name, path, place.ROOT) for name, (path, _) in folders(recipe.gate).items() if name != "drift"
    }
    able = {name: twin_topics(bank) for name, bank in banks.items()}
    cards = all_cards(recipe, candidate, baselines, scores, store)
    topics = weak_topics(verdict, items, cards, able, recipe.harden.topics)
    rows = twin_rows(
        banks, [(one.suite, one.topic) for one in topics], recipe.harden.twins, recipe.seed * 1000 + number
    )
    return TwinRows(topics=topics, rows=store.put_bytes(dump_lines(rows), LINES), n=len(rows))


def plan_of(recipe_path: str, goal: float) -> Planned:
    """The gate plan of a recipe, from its suites as they are and from what nights have measured."""
    recipe = load_recipe(place.ROOT / recipe_path)
    entries = read_ledger(ledger_path(place.home(), recipe.name))
    candidates = sum(makes_candidate(phase) for phase in recipe.phase)
    known = known_of(recipe, place.ROOT, measured_spreads(entries))
    return plan_gate(recipe.gate, known, goal, candidates, recipe.harden.tries)


def rotate_items(recipe_path: str, names: tuple[str, ...], reason: str) -> str:
    """Write a rotation into the ledger; the next night judges on other items."""
    return rotate_by_hand(load_recipe(place.ROOT / recipe_path), place.ROOT, place.home(), names, reason)


def _score_key(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    candidate: Candidate,
    baselines: Baselines,
    number: int,
) -> list[Any]:
    sound = intact(models_by_role(candidate, baselines), place.store())
    return [
        preferences.house.digest_, suites, candidate.model, baselines, shared(recipe.gate, candidate.of), recipe.serve,
        _engine(recipe), sound,
    ]  # fmt: skip


def _engine(recipe: Recipe) -> Engine:
    return engine_of(recipe, place.pool(recipe.pool).device())


def _device(night: Night, recipe: Recipe, *_: Any) -> Device:
    return place.pool(recipe.pool).device()


def _number(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    candidate: Candidate,
    baselines: Baselines,
    number: int,
) -> int:
    return number


@step(area="gate", key=_score_key, device=_device, number=_number)
def score(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    candidate: Candidate,
    baselines: Baselines,
    number: int,
) -> Scores:
    """Scorecards of a candidate, champion and anchor on every suite, on the pool."""
    return score_all(night, recipe, preferences, suites, candidate, baselines, number)


def score_phases(
    night: Night, recipe: Recipe, preferences: Preferences, suites: Suites, trained: Trained, baselines: Baselines
) -> tuple[Scores, ...]:
    """The scores of each of tonight's candidates: a step a candidate; what the baselines have is not scored again."""
    return tuple(
        score(night, recipe, preferences, suites, candidate, baselines, number)
        for number, candidate in enumerate(trained.candidates, start=1)
    )


def _judge_key(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    trained: Trained,
    baselines: Baselines,
    scores: tuple[Scores, ...],
) -> list[Any]:
    # the ledger as it is now: a night that it blocked is judged again once it is mended
    entries, problems = read_decisions(ledger_path(place.home(), recipe.name), baselines)
    anchor = baselines.anchor.model.digest if baselines.anchor else None
    given = list(zip(trained.candidates, scores, strict=True))
    spent = decisions_before(entries, anchor, *(identity_of(night, one, baselines, own) for one, own in given))
    # and the cards as they lie there now, not as they were: an edited one is judged again, and blocks
    of_each = [
        [one.model, one.of, own, [actual_digest(place.store(), ref.card) for ref in own.cards]] for one, own in given
    ]
    return [
        recipe.gate, preferences.house.digest_, suites, suites.problems, baselines, of_each, list(trained.ended),
        problems, spent,
    ]  # fmt: skip


@step(area="gate", key=_judge_key)
def judge(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    trained: Trained,
    baselines: Baselines,
    scores: tuple[Scores, ...],
) -> Verdict:
    """The verdict, from the scorecards as they lie in the store; of several candidates, the best one's."""
    store = place.store()
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    verdict = judge_candidates(night, recipe, items, suites, scores, trained, baselines, store, place.home())
    for candidate in trained.candidates:
        if tags := phase_tags(verdict, candidate.model.digest):
            place.tracking().tags(candidate.mlflow_run, tags)
    return verdict


def chosen(verdict: Verdict, trained: Trained, scores: tuple[Scores, ...]) -> tuple[Candidate, Scores]:
    """The candidate that the night's verdict is about, and its scores."""
    return next(
        (candidate, one)
        for candidate, one in zip(trained.candidates, scores, strict=True)
        if candidate.model.digest == verdict.candidate
    )


def marks(
    recipe: Recipe, suites: Suites, preferences: Preferences, scores: Scores
) -> tuple[tuple[Marks, ...], Distance]:
    """The candidate's results item by item, for a comparison of methods. No verdict: nothing is written down."""
    store = place.store()
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    return marks_of(recipe.gate, items, scores, "candidate", store)


def probe_set(
    recipe: Recipe, suites: Suites, preferences: Preferences, candidate: Candidate, scores: Scores
) -> Blob | None:
    """What the candidate answered, for asking what serves after a deployment; None where it answered nothing."""
    store = place.store()
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    try:
        found = probe_of(candidate.model, items, scores, store)
    except SuiteError:
        return None
    return store.put_bytes(found.model_dump_json().encode(), "application/json")


def report(
    night: Night,
    recipe: Recipe,
    snapshot: Snapshot,
    suites: Suites,
    preferences: Preferences,
    plan: Plan,
    candidate: Candidate,
    baselines: Baselines,
    scores: Scores,
    verdict: Verdict,
    bill: Bill,
    portability: Portability | None,
) -> Blob:
    """The report a person decides from, beside the night and in the store. Not a step: it is drawn anew each time."""
    from tasks.gate.report import report_html  # jinja: only when a report is drawn

    store = place.store()
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    flips, flip_counts = flips_of(recipe, items, scores, store)
    entries, _ = read_decisions(ledger_path(place.home(), recipe.name), baselines)
    html = report_html(
        night=night.name,
        recipe=recipe.name,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        verdict=verdict,
        bill=bill,
        plan=plan,
        preferences=preferences,
        snapshot=snapshot,
        baselines=baselines,
        history=json.loads(store.read_bytes(candidate.history)),
        samples=json.loads(store.read_bytes(scores.samples)),
        quarantine=quarantine_counts(store.read_bytes(preferences.quarantine)),
        promotable=night.promotable,
        flips=flips,
        flip_counts=flip_counts,
        past=past_nights(entries),
        reanchored=reanchorings(entries),
        portability=portability,
    )
    (Path(night.folder) / "report.html").write_text(html)
    return store.put_bytes(html.encode(), "text/html")


def quarantine_counts(lines: bytes) -> dict[str, int]:
    """How often each reason was given; a row may have several."""
    return dict(Counter(reason for row in load_lines(lines) for reason in row["reasons"]).most_common())
