"""One night, on one screen: collect → validate → decide → align → score → judge → register.

Order and wiring only. Every step below is metered, and reused when its inputs are those of an earlier run; data passes
by reference. ``promote`` is a flow of its own: nothing here waits for a person. The pool is held by align and score.
"""

from typing import Annotated, Any

from prefect import State, flow, get_run_logger
from pydantic import Field

from flows.frame import close_finished, close_skipped, ends_by_name, open_night
from flows.hardening import harden
from tasks.align.steps import align_phases
from tasks.contracts import Plan
from tasks.cost.steps import meter
from tasks.data.sample_step import sample_documents
from tasks.data.steps import collect, validate
from tasks.gate.steps import chosen, judge, probe_set, report, score_phases
from tasks.plan.steps import decide
from tasks.recipe import Recipe
from tasks.registry.portability import portability
from tasks.registry.steps import make_evidence, register
from tasks.turns import in_turn

RecipePath = Annotated[
    str,
    Field(
        pattern=r"^[\w./-]+\.toml$",
        description="Recipe file, from the checkout's root: what to train, and how it is judged.",
    ),
]
Overrides = Annotated[
    list[Annotated[str, Field(pattern=r"^[\w.]+=.+$")]],
    Field(
        description="Recipe values for tonight, one key=value each, e.g. phase.0.max_steps=10. "
        "Overriding gate.* makes the night not promotable."
    ),
]
Fresh = Annotated[
    bool, Field(description="Run every step again, also those that finished before with the same inputs.")
]


@flow(name="nightly", description=__doc__)
@ends_by_name
def nightly(
    recipe: RecipePath = "recipes/demo.toml",
    overrides: Overrides = [],  # noqa: B006  the form's default; nothing changes it
    fresh: Fresh = False,
) -> dict[str, Any] | State[Any]:
    """Run one night and return its summary."""
    say = get_run_logger().warning
    with open_night(recipe, overrides, fresh) as tonight:
        night, spec, base = tonight.night, tonight.recipe, tonight.base
        suites, baselines = tonight.suites, tonight.baselines

        # the data: an immutable snapshot, bad rows in quarantine, a critical breach stops here
        snapshot = collect(night, spec)
        # where documents are a source: what the champion says of them without having read them
        spec, snapshot = in_turn(spec, lambda on: sample_documents(night, on, snapshot, base, baselines), say)
        preferences = validate(night, snapshot, spec, base, suites)

        # is it worth a night, and does it fit?
        def planned(on: Recipe) -> Plan:
            return decide(night, on, preferences, base, baselines, suites)

        spec, plan = in_turn(spec, planned, say)
        if not plan.train:
            return close_skipped(tonight, plan, preferences)

        # on the pool, or the next where it is down or full: a candidate a phase, then scorecards of all, with baselines
        spec, trained = in_turn(spec, lambda on: align_phases(night, on, plan, preferences, base), say, planned)
        spec, cards = in_turn(
            spec, lambda on: score_phases(night, on, preferences, suites, trained, baselines), say, planned
        )

        # PASS, FAIL, INCONCLUSIVE or BLOCK of the best phase, with the evidence a person decides from
        verdict = judge(night, spec, preferences, suites, trained, baselines, cards)
        # off unless the recipe says so: what didn't pass is averaged with the champion, trained on twins, judged anew
        spec, suites, candidate, scores, verdict = harden(
            tonight, spec, plan, preferences, suites, *chosen(verdict, trained, cards), verdict
        )
        probe = probe_set(spec, suites, preferences, candidate, scores)
        moved = portability(spec, candidate, baselines, base)
        evidence = make_evidence(night, spec, snapshot, preferences, plan, candidate, scores, verdict, probe, moved)
        bill = meter(night, plan)
        page = report(
            night, spec, snapshot, suites, preferences, plan, candidate, baselines, scores, verdict, bill, moved
        )
        release = register(night, spec, evidence, preferences, bill, page)
        return close_finished(tonight, plan, preferences, verdict, release)
