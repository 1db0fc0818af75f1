"""Judge a version again, as it is: for one that was judged against another champion than the one that serves now."""

from typing import Any

from prefect import flow

from flows.frame import close_finished, ends_by_name, open_rejudgement
from flows.promotion import Name, Version
from tasks.contracts import Trained
from tasks.cost.steps import meter
from tasks.gate.steps import chosen, judge, probe_set, report, score_phases
from tasks.registry.portability import portability
from tasks.registry.steps import make_evidence, register


@flow(name="rejudge", description="Judge a version's model again, against what serves now. Nothing is trained.")
@ends_by_name
def rejudge(version: Version, name: Name = "demo") -> dict[str, Any]:
    """Score what isn't scored yet, judge, and register the same model with the new evidence."""
    with open_rejudgement(name, version) as (tonight, kept):
        night, spec, suites, baselines = tonight.night, tonight.recipe, tonight.suites, tonight.baselines
        preferences, trained = kept.preferences, Trained(candidates=(kept.candidate,))
        cards = score_phases(night, spec, preferences, suites, trained, baselines)
        verdict = judge(night, spec, preferences, suites, trained, baselines, cards)
        candidate, scores = chosen(verdict, trained, cards)
        probe = probe_set(spec, suites, preferences, candidate, scores)
        moved = portability(spec, candidate, baselines, tonight.base)
        evidence = make_evidence(
            night, spec, kept.snapshot, preferences, kept.plan, candidate, scores, verdict, probe, moved
        )
        bill = meter(night, kept.plan)
        page = report(
            night,
            spec,
            kept.snapshot,
            suites,
            preferences,
            kept.plan,
            candidate,
            baselines,
            scores,
            verdict,
            bill,
            moved,
        )
        release = register(night, spec, evidence, preferences, bill, page)
        return close_finished(tonight, kept.plan, preferences, verdict, release)
