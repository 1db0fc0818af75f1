"""align: train the recipe's phase on tonight's pairs, as a program on the pool, and store what it makes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from infra.digest import Digest, digest_of, short
from infra.errors import PoolError
from infra.job_program import DOCTOR
from infra.jsonl import dump_lines
from infra.live import Live, OnMetrics
from infra.pools.base import Pool
from infra.price_book import load_price_book
from infra.programs import fresh_folder, run_program
from infra.step import revision
from infra.store import Blob, Store
from tasks import place
from tasks.align.budget import COUPLED
from tasks.align.checkpoints import clear, sweep
from tasks.align.ended import MEMORY_DO, crashed, ended_by_scheduler, error_of, merged, ran_out_of_memory
from tasks.align.labels import said_of_labels
from tasks.align.made import store_model
from tasks.align.pairs import HELD_OUT, Replay, choose, set_apart, whole_steps
from tasks.align.quarantine import quarantine_file, read_quarantine, send_to_quarantine
from tasks.align.start import on_top_of, start_folder
from tasks.contracts import Candidate, Model, Night, Plan, Preferences
from tasks.errors import ModelError, Unhealthy
from tasks.lm.reference_cache import context_digest
from tasks.lm.speed import remember
from tasks.parts import LINES, lines_of
from tasks.phases import METHODS, Phase
from tasks.recipe import Recipe
from tasks.spending import Watch, watch
from tasks.trainable import fitting


def train(
    night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model, *, run: str = "align"
) -> Candidate:
    """Run the phase and bind its result to recipe, preferences and base model.

    Args:
        base: what training starts from; one with an adapter is trained merged, and comes out with both adapters joined.
        run: the nested run's name.

    Raises:
        Unhealthy: a stop condition fired; the last good checkpoint is kept, guilty pairs are in quarantine.
        OverBudget: the night or its month has spent its budget; the last checkpoint is kept.
        Interrupted: the training was asked to end; the same night started again goes on from its checkpoint.
        ModelError: it can't be trained so. PoolError: the program failed.
    """
    store, home, tracker = place.store(), place.home(), place.tracking()
    pool = place.pool(recipe.pool)
    run = tracker.nested_run(night.mlflow_run, run)
    tracker.params(run, {f"phase.{key}": value for key, value in recipe.phase[0].model_dump().items()})
    tracker.dataset(
        run, "preferences", preferences.train.digest_, "training", {"pairs": preferences.n_train, "used": plan.pairs}
    )
    context = course(recipe, plan, preferences, base)
    checkpoints = home / "checkpoints" / short(context, 32)
    days = place.settings().keep_checkpoints_days
    swept = sweep(checkpoints.parent, but=checkpoints, days=days)
    if night.fresh:
        clear(checkpoints)
    work = fresh_folder(home / "work" / f"align-{short(night.id, 16)}")
    spec = make_spec(recipe, plan, preferences, base, work) | {"context": context, "checkpoints": str(checkpoints)}
    pairs = store.put_file(work / "pairs.jsonl", LINES)
    if swept:
        names = ", ".join(folder.name for folder in swept)
        removed = f"removed {names} in {checkpoints.parent}: no night went on from them for {days:g} days"
        spec["said"] = "; ".join(filter(None, (spec.get("said"), removed)))
    with tracker.ending(run):
        try:
            budget = watch(night, recipe, pool.device())
            result = run_training(pool, spec, work, lambda values, step: tracker.metrics(run, values, step), budget)
        except Unhealthy as error:
            tracker.tags(run, {"nightshift.unhealthy": error.what})
            send_to_quarantine(home, list(error.pairs), error.what, night.name)
            raise
        model = on_top_of(base, store_model(recipe, work / "out", base, store), home, store, pool)
        device = pool.device()
        if not METHODS[recipe.phase[0].method].online:  # drawing answers waits for memory: that is no rate of training
            remember(home, device.kind, result["flops"], result["seconds"], device.count, pool.hardware())
        clear(checkpoints)
    return Candidate(
        model=model,
        preferences=preferences.digest,
        recipe=recipe.digest,
        history=store.put_json(result["history"]),
        pairs=pairs,
        mlflow_run=run,
        machine=machine_of(work, store),
        device=pool.device_kind(),
    )


def machine_of(work: Path, store: Store) -> Blob | None:
    """What a job's doctor said of its machine before the program began; None of a program that ran in no job."""
    found = work / DOCTOR
    return store.put_file(found, "application/json") if found.exists() else None


def make_spec(recipe: Recipe, plan: Plan, preferences: Preferences, base: Model, work: Path) -> dict[str, Any]:
    """What the program is told, all but where its checkpoints lie. Writes tonight's pairs beside it."""
    store, home, phase = place.store(), place.home(), recipe.phase[0]
    pool = place.pool(recipe.pool)
    replay = None
    if plan.earlier is not None and recipe.data.replay is not None:
        earlier = plan.earlier
        replay = Replay(lambda: fitting(lines_of(earlier, store), phase), recipe.data.replay)

    def train() -> Iterable[bytes]:
        return fitting(lines_of(preferences.train, store), phase)

    extra = HELD_OUT if METHODS[phase.method].online else 0
    chosen = choose(train, plan.pairs + extra, recipe.seed, read_quarantine(home), phase.method, replay)
    pairs, held_out = set_apart(chosen, phase)
    said = said_of_labels(train(), pairs, phase)
    steps = whole_steps(plan.steps, len(pairs), phase, quarantine_file(home))
    # no more than the steps take: a resume at the last step would begin another with the rest
    (work / "pairs.jsonl").write_bytes(dump_lines(pairs[: phase.pairs_of(steps)]))
    if held_out:
        (work / "held_out.jsonl").write_bytes(dump_lines(held_out))
    folder = start_folder(base, home, store, pool)
    return {
        **({"held_out": str(work / "held_out.jsonl")} if held_out else {}),
        **({"said": said} if said else {}),
        "base": str(folder),
        "pairs": str(work / "pairs.jsonl"),
        "out": str(work / "out"),
        "seed": recipe.seed,
        "threads": place.settings().threads,
        "steps": steps,
        "phase": phase.model_dump(mode="json", exclude_unset=True),
        "max_tokens": phase.tokens_at_once(accelerator=pool.device().accelerator),
        "shard": pool.shares_weights(),
        "cache": str(store.root),
        "cache_context": reference_context(base, phase, pool),
    }


def run_training(
    pool: Pool, spec: dict[str, Any], work: Path, on_metrics: OnMetrics, budget: Watch | None = None
) -> dict[str, Any]:
    """The program's result. Out of memory, it is run once more with half the tokens at once.

    Args:
        budget: looks at each word of the program, and ends it where too much is spent.
    """
    first = _run_once(pool, spec, work, on_metrics, budget)
    if isinstance(first, dict):
        return first
    if not phase_is_cut(Phase.model_validate(spec["phase"])):
        raise ModelError(
            f"the training ran out of memory ({first}), and its steps can't be cut",
            do="lower phase.batch_size or data.max_*_tokens, set phase.gradient_checkpointing = true, "
            "or choose another pool",
        )
    half = spec | {"max_tokens": max(spec["max_tokens"] // 2, 1)}
    half["said"] = (
        f"out of memory ({first}); once more with {half['max_tokens']} tokens at once, from the last checkpoint: "
        "that changes rounding, nothing else"
    )
    second = _run_once(pool, half, work, on_metrics, budget)
    if isinstance(second, dict):
        return second
    raise ModelError(
        f"the training ran out of memory twice, with {spec['max_tokens']} and {half['max_tokens']} tokens at once: "
        f"{second}",
        do=MEMORY_DO,
    )


def phase_is_cut(phase: Phase) -> bool:
    """Whether its steps go through the model in parts of ``max_tokens``."""
    method = METHODS[phase.method]
    return method.online or (method.packed and not COUPLED.intersection(phase.losses))


def _run_once(
    pool: Pool, spec: dict[str, Any], work: Path, on_metrics: OnMetrics, budget: Watch | None
) -> dict[str, Any] | str:
    """The program's result, or what it said when it ran out of memory."""
    stops: list[dict[str, Any]] = []
    with Live("align", on_metrics, price(pool)) as handle:

        def on_event(event: dict[str, Any]) -> None:
            match event["event"]:
                case "stopped":
                    stops.append(event)
                case "again":  # the scheduler started the job again: how it ended before counts no more
                    stops.clear()
                case _:
                    handle(event)
                    if budget is not None:
                        budget.look()  # what it raises ends the program: pools ask it for a checkpoint first

        if "said" in spec:
            handle({"event": "log", "text": spec["said"]})
        try:
            return run_program(pool, "tasks.align.program", spec, work, on_event, distributed=True)
        except PoolError as error:
            out_of_memory = ran_out_of_memory(stops, error)
            if out_of_memory is not None:
                return out_of_memory
            if (asked := ended_by_scheduler(stops, error)) is not None:
                raise asked from None
            if not stops or crashed(stops, pool.device().count):
                raise
            raise error_of(merged(stops)) from None


def price(pool: Pool) -> Callable[[float], str]:
    """What so many seconds of this pool cost, as text."""
    book, device = load_price_book(place.settings().price_book), pool.device()
    one = book.all_in(device.kind, device.pool)
    per_second = device.count * float(one.per_hour) / 3600
    mark = " (example prices)" if one.example else ""
    return lambda seconds: f"{per_second * seconds:.{book.digits}f} {book.currency}{mark}"


def course(recipe: Recipe, plan: Plan, preferences: Preferences, base: Model) -> Digest:
    """What decides a training's course: only with the same can a checkpoint be gone on from.

    Limits of health and looks at answers stop a training or don't: they may be changed, and the training goes on.
    """
    phase = {
        name: value
        for name, value in recipe.phase[0].identity().items()
        if name not in ("health", "watch") and not name.startswith("probe_")
    }
    return digest_of(
        [
            [preferences.train.digest, left_out_tonight(preferences), plan.pairs, plan.steps, recipe.seed],
            _replayed(recipe, plan),
            [base.digest, phase, library_versions(), revision("align")],
        ]
    )


def _replayed(recipe: Recipe, plan: Plan) -> list[Any]:
    """What decides which earlier pairs are trained on again."""
    return [] if plan.earlier is None else [plan.earlier.digest_, recipe.data.replay]


def left_out_tonight(preferences: Preferences) -> list[str]:
    """Ids of tonight's pairs that are in quarantine: what another night put there changes nothing here."""
    left_out = read_quarantine(place.home())
    if not left_out:
        return []
    return sorted(left_out & {json.loads(line)["id"] for line in lines_of(preferences.train, place.store())})


def reference_context(base: Model, phase: Phase, pool: Pool) -> Digest:
    """What reference log-probabilities depend on: weights, tokenizer, template, and how they are computed."""
    files = {file.path: file.digest_ for file in base.base.files}
    # how the weights are held while they are the reference
    held = {"qlora": "nf4 weights, ", "full": "fp32 weights, "}.get(phase.adapter, "")
    number = f"{held}bf16" if pool.device().accelerator else "fp32"
    return context_digest(
        base=base.base.digest_,
        adapter=base.adapter.digest_ if base.adapter else None,
        tokenizer=files["tokenizer.json"],
        template=files.get("chat_template.jinja", files["tokenizer_config.json"]),
        truncation=None,
        measure=f"sum over the answer's tokens, {number}, {', '.join(library_versions())}",
    )


def align_key(
    night: Night, recipe: Recipe, plan: Plan, preferences: Preferences, base: Model
) -> list[Digest | list[Any]]:
    """What decides the result's bytes: pairs, their number, phase, seed, base model, and the libraries that train."""
    return [
        preferences.train.digest,
        base.digest,
        [plan.pairs, plan.steps, recipe.seed, left_out_tonight(preferences)],
        [list(recipe.phase)],
        _replayed(recipe, plan),
        library_versions(),
    ]


def library_versions() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("torch", "transformers", "trl", "peft", "accelerate")]
