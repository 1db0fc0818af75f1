"""The score and judge steps, and what they need before: the night's suites."""

import json
from collections import Counter
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from infra.jsonl import load_lines
from infra.step import step
from infra.store import Blob
from tasks import place
from tasks.contracts import (
    Baselines,
    Bill,
    Candidate,
    Device,
    Night,
    Plan,
    Preferences,
    Scores,
    Snapshot,
    Suites,
    Verdict,
)
from tasks.gate.items import read_suites, tonight
from tasks.gate.judge import actual_digest, judge_candidate
from tasks.gate.score import score_all
from tasks.recipe import Recipe


def suites_of(recipe: Recipe) -> Suites:
    """The gate's own suites; read every night, so that an edited item is seen."""
    return read_suites(recipe, place.ROOT, place.store())


def _score_key(
    night: Night, recipe: Recipe, preferences: Preferences, suites: Suites, candidate: Candidate, baselines: Baselines
) -> list[Any]:
    return [preferences.house.digest_, suites, candidate.model, baselines, recipe.gate.max_items]


def _device(night: Night, recipe: Recipe, *_: Any) -> Device:
    return place.pool(recipe.pool).device()


@step(area="gate", key=_score_key, device=_device)
def score(
    night: Night, recipe: Recipe, preferences: Preferences, suites: Suites, candidate: Candidate, baselines: Baselines
) -> Scores:
    """Scorecards of candidate, champion and anchor on every suite, on the pool."""
    return score_all(night, recipe, preferences, suites, candidate, baselines)


def _judge_key(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    candidate: Candidate,
    baselines: Baselines,
    scores: Scores,
) -> list[Any]:
    # the cards as they lie there now, not as they were: an edited one is judged again, and blocks
    found = [actual_digest(place.store(), ref.card) for ref in scores.cards]
    return [recipe.gate, preferences.house.digest_, suites, suites.problems, candidate.model, baselines, scores, found]


@step(area="gate", key=_judge_key)
def judge(
    night: Night,
    recipe: Recipe,
    preferences: Preferences,
    suites: Suites,
    candidate: Candidate,
    baselines: Baselines,
    scores: Scores,
) -> Verdict:
    """The verdict, from the scorecards as they lie in the store."""
    store = place.store()
    items = tonight(suites, store.read_bytes(preferences.house), recipe, store)
    return judge_candidate(recipe.gate, items, suites, scores, candidate, baselines, store)


def report(
    night: Night,
    recipe: Recipe,
    snapshot: Snapshot,
    preferences: Preferences,
    plan: Plan,
    candidate: Candidate,
    baselines: Baselines,
    scores: Scores,
    verdict: Verdict,
    bill: Bill,
) -> Blob:
    """The report a person decides from, beside the night and in the store. Not a step: it is drawn anew each time."""
    from tasks.gate.report import report_html  # matplotlib and jinja: only when a report is drawn

    store = place.store()
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
    )
    (Path(night.folder) / "report.html").write_text(html)
    return store.put_bytes(html.encode(), "text/html")


def quarantine_counts(lines: bytes) -> dict[str, int]:
    """How often each reason was given; a row may have several."""
    return dict(Counter(reason for row in load_lines(lines) for reason in row["reasons"]).most_common())
