"""One scoring: every model on its suites, item by item into the result store, in stages that may end early for harm.

Without torch and without files of the night: an engine computes, and this decides what, in which order, and when it is
enough. Several processes run the same stages and share the items (tasks/gate/sharing.py); the first leads.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import NamedTuple

from infra.digest import Digest
from tasks.contracts import Engine, Measure, Noise
from tasks.gate.drift import as_results
from tasks.gate.harm import Bank, find_harm, looks_of, suite_of
from tasks.gate.noise import compare_twice
from tasks.gate.result_store import Found, ResultStore
from tasks.gate.scorecard import ItemResult, Scorecard, scorer_digest
from tasks.gate.scorers import Context, ScoringEngine, score_items
from tasks.gate.sharing import Claims, finish, share
from tasks.gate.suites import Item, Scorer, Suite, hashed
from tasks.recipe import DRIFT_MEASURES, GateSpec

STAGES = 4  # as many as looks for harm

# generated answers a batch: items are kept as they are finished, and a killed scoring loses one batch
GENERATED = 32


class Job(NamedTuple):
    """One model's suites.

    Attributes:
        champion: suite → the champion's results, for looks; empty: never stop early.
    """

    model: Digest
    suites: Mapping[str, Suite]
    stores: Mapping[str, ResultStore]
    champion: Mapping[str, Mapping[str, ItemResult]]


class Process(NamedTuple):
    """This process among those that share the work. ``alive``: whether any of the others still runs."""

    number: int
    claims: Claims
    alive: Callable[[], bool]

    @property
    def leads(self) -> bool:
        return self.number == 0


class Outcome(NamedTuple):
    """Suite → results so far by item id; ``stopped``: harm was proven before the end."""

    results: dict[str, dict[str, ItemResult | None]]
    stopped: bool


def run_job(
    job: Job,
    gate: GateSpec,
    engine: ScoringEngine,
    context: Context,
    tokens: Callable[[Item, Scorer], int],
    limit: int,
    process: Process,
    on_progress: Callable[[int, str], None],
) -> Outcome:
    """Score what has no result yet, stage by stage.

    Args:
        tokens: packed tokens of an item; ``limit``: of a batch.
        on_progress: called with the items that were finished and the suite.
    """
    known = {name: _known(job, name) for name in job.suites}
    for name, found in known.items():
        if process.leads and found:
            on_progress(len(found), name)
    for stage, parts in enumerate(stages(job, gate)):
        if not _begins(f"{job.model[7:23]}-{stage}", stage, job, gate, known, process):
            return Outcome(known, stopped=True)
        for name, items in parts:
            _score_part(job, name, items, known[name], engine, context, tokens, limit, process, stage, on_progress)
    return Outcome(known, stopped=False)


def stages(job: Job, gate: GateSpec) -> Iterator[list[tuple[str, list[Item]]]]:
    """The items of each stage, suite by suite: all at once, or by looks where scoring may stop for harm."""
    if not may_stop(gate, job.suites, job.champion):
        yield [(name, list(suite.items)) for name, suite in job.suites.items()]
        return
    ends = {name: _ends(name, suite, gate) for name, suite in job.suites.items()}
    for stage in range(STAGES):
        parts = []
        for name, suite in job.suites.items():
            order, sizes = ends[name]
            start = sizes[stage - 1] if stage else 0
            parts.append((name, [suite.items[position] for position in order[start : sizes[stage]]]))
        yield parts


def _ends(name: str, suite: Suite, gate: GateSpec) -> tuple[tuple[int, ...], list[int]]:
    """Items in the order of looks, and how many are scored at the end of each stage."""
    measures: dict[str, Measure] = {spec.name: spec.measure for spec in gate.suites}
    measure: Measure = measures.get(name, "score")
    looks = looks_of(measure, bank_of(suite))
    # a look that is left out, because too few families had been scored by then, joins the next stage
    return looks.order, [0] * (STAGES - len(looks.sizes)) + list(looks.sizes)


def bank_of(suite: Suite) -> Bank:
    return Bank({item.id: item.cluster for item in suite.items}, suite.items_digest, {})


def may_stop(gate: GateSpec, suites: Mapping[str, Suite], champion: Mapping[str, object]) -> bool:
    """Whether harm is looked for: every judged suite is there, and the champion has results on it.

    Where one is missing the gate will block, and there is nothing to stop for.
    """
    needed = {suite_of(spec.name) for spec in gate.judged}
    return gate.early_stop and needed <= set(suites) and needed <= set(champion)


def suites_to_score(missing: Sequence[str], suites: Mapping[str, Suite], *, aa: bool, stops: bool) -> list[str]:
    """The suites a model is scored on.

    Harm is looked for on all suites together, so a candidate that lacks a few scorecards (other items have rotated in)
    is taken through all of them: results that are there are read, not computed again. A/A scores all a second time.

    Args:
        missing: suites without a scorecard of this model. ``stops``: scoring may stop for harm.
    """
    return list(suites) if aa or (stops and missing) else list(missing)


def harmed(
    gate: GateSpec,
    suites: Mapping[str, Suite],
    new: Mapping[str, Mapping[str, ItemResult]],
    old: Mapping[str, Mapping[str, ItemResult]],
) -> bool:
    """Whether harm is proven on any suite by what is scored so far. Exactly what the verdict will find."""
    banks = {spec.name: bank_of(suites[suite_of(spec.name)]) for spec in gate.judged}
    harm = find_harm(gate.judged, banks, _with_drift(new), _with_drift(old), gate.alpha)
    return any(one.proven for one in harm)


def _with_drift(results: Mapping[str, Mapping[str, ItemResult]]) -> dict[str, Mapping[str, ItemResult]]:
    """Results by suite, those of drift as one suite a measure."""
    found = dict(results)
    drift = list(results.get("drift", {}).values())
    for name in DRIFT_MEASURES if drift else ():
        found[f"drift-{name}"] = {one.id: one for one in as_results(drift, name)}
    return found


def _begins(
    unit: str, stage: int, job: Job, gate: GateSpec, known: dict[str, dict[str, ItemResult | None]], process: Process
) -> bool:
    """Whether a stage begins: the leader looks for harm, the others wait for its word."""
    if not process.leads:
        return process.claims.wait_for_stage(unit)
    go = True
    if stage:  # without looks there is one stage only
        new = {name: _scored(results) for name, results in known.items()}
        go = not harmed(gate, job.suites, new, job.champion)
    process.claims.open_stage(unit, go)
    return go


def _scored(results: Mapping[str, ItemResult | None]) -> dict[str, ItemResult]:
    return {id_: one for id_, one in results.items() if one is not None}


def _score_part(
    job: Job,
    name: str,
    items: Sequence[Item],
    known: dict[str, ItemResult | None],
    engine: ScoringEngine,
    context: Context,
    tokens: Callable[[Item, Scorer], int],
    limit: int,
    process: Process,
    stage: int,
    on_progress: Callable[[int, str], None],
) -> None:
    """Score a suite's items of one stage, together with the other processes."""
    suite, store = job.suites[name], job.stores[name]
    todo = [item for item in items if item.id not in known]

    def learn(results: Mapping[str, ItemResult | None]) -> None:
        fresh = {id_: one for id_, one in results.items() if id_ not in known}
        known.update(fresh)
        if process.leads and fresh:
            on_progress(len(fresh), name)

    def work(batch: Sequence[int]) -> None:
        part = [todo[place] for place in batch]
        results = score_items(engine, suite.scorer, part, context)
        store.add({item.digest: result for item, result in zip(part, results, strict=True)})
        learn({item.id: result for item, result in zip(part, results, strict=True)})

    def missing() -> list[int]:
        left = [place for place, item in enumerate(todo) if item.id not in known]
        if left:  # another process may have it by now
            found = store.read()
            learn({todo[place].id: found[todo[place].digest] for place in left if todo[place].digest in found})
        return [place for place in left if todo[place].id not in known]

    batches = batched(suite, todo, tokens, limit)
    share(f"{job.model[7:23]}-{name}-{stage}", batches, process.claims, work)
    if process.leads:
        finish(missing, process.alive, work)


def batched(suite: Suite, items: Sequence[Item], tokens: Callable[[Item, Scorer], int], limit: int) -> list[list[int]]:
    """Places of items in batches: of at most ``limit`` tokens (or one item), or GENERATED of those with an answer."""
    batches: list[list[int]] = []
    total = 0
    for place, item in enumerate(items):
        length = 0 if suite.scorer.generates else tokens(item, suite.scorer)
        if not batches or total + length > limit or (suite.scorer.generates and len(batches[-1]) >= GENERATED):
            batches.append([])
            total = 0
        batches[-1].append(place)
        total += length
    return batches


def _known(job: Job, name: str) -> dict[str, ItemResult | None]:
    """Tonight's items that were scored before, by any night or attempt."""
    found: Found = job.stores[name].read()
    return {item.id: found[item.digest] for item in job.suites[name].items if item.digest in found}


def card_of(
    model: Digest,
    suite: Suite,
    results: Mapping[str, ItemResult | None],
    engine: Engine,
    anchor: Digest | None,
    *,
    stopped: bool,
) -> Scorecard:
    """A scorecard of these results; ``stopped`` only where items are missing because harm was proven."""
    in_order = [(item.id, results[item.id]) for item in suite.items if item.id in results]
    return Scorecard(
        model=model,
        suite=suite.name,
        items=suite.items_digest,
        scorer=scorer_digest(suite.scorer, engine, anchor),
        results=tuple(one for _, one in in_order if one is not None),
        unscorable=tuple(id_ for id_, one in in_order if one is None),
        stopped=stopped and len(in_order) < len(suite.items),
    )


def score_twice(
    suites: Mapping[str, Suite],
    first: Mapping[str, Mapping[str, ItemResult | None]],
    count: int,
    floor: float,
    cause: str,
    engine: ScoringEngine,
    context: Context,
    tokens: Callable[[Item, Scorer], int],
    limit: int,
) -> list[Noise]:
    """A/A: ``count`` items a suite again, in other batches: in another order, and half as large."""
    found = []
    for name, suite in suites.items():
        chosen = sorted(suite.items, key=lambda item: hashed(f"aa {item.id}"))[:count]
        second: list[ItemResult] = []
        for batch in batched(suite, chosen, tokens, max(limit // 2, 1)):
            results = score_items(engine, suite.scorer, [chosen[place] for place in batch], context)
            second += [one for one in results if one is not None]
        found.append(compare_twice(name, _scored(first[name]), second, floor, cause))
    return found
