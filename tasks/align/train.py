"""align: train the recipe's phase on tonight's pairs, as a program on the pool, and store what it makes."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from infra.attempts import step_of
from infra.digest import Digest, digest_of, short
from infra.errors import PoolError
from infra.job_program import DOCTOR
from infra.jsonl import dump_lines
from infra.live import Live, OnMetrics
from infra.pools.base import Pool
from infra.price_book import load_price_book
from infra.programs import fresh_folder, run_program
from infra.step import revision
from infra.store import Blob, Store, Tree
from tasks import place
from tasks.align.budget import COUPLED
from tasks.align.checkpoints import clear, sweep
from tasks.align.ended import MEMORY_DO, crashed, ended_by_scheduler, error_of, merged, ran_out_of_memory
from tasks.align.labels import said_of_labels
from tasks.align.made import store_made
from tasks.align.pairs import HELD_OUT, Replay, choose, set_apart, whole_steps
from tasks.align.quarantine import quarantine_file, read_quarantine, send_to_quarantine
from tasks.chained import adds_up
from tasks.contracts import Candidate, Model, Night, Plan, Preferences, RewardModel
from tasks.errors import ModelError, Unhealthy
from tasks.lm.base import checkout, laid_out
from tasks.lm.merged import merged_folder
from tasks.lm.reference_cache import context_digest
from tasks.lm.speed import remember
from tasks.parts import LINES, lines_of
from tasks.phases import METHODS, Phase
from tasks.recipe import Recipe
from tasks.spending import Watch, watch
from tasks.trainable import fitting


def train(
    night: Night,
    recipe: Recipe,
    plan: Plan,
    preferences: Preferences,
    base: Model,
    number: int = 1,
    reward: Tree | None = None,
    called: str | None = None,
) -> Candidate | RewardModel:
    """Run the phase and bind its result to recipe, preferences and the model that it starts from.

    Args:
        recipe, plan: of this phase alone.
        base: where it starts: the base model, with an adapter where phases before it made one.
        number: of the phase, from 1.
        reward: the model that answers are rewarded by, where the phase asks for one.
        called: the nested run's name, and the step's in the live progress; by its number unless given.

    Raises:
        Unhealthy: a stop condition fired; the last good checkpoint is kept, guilty pairs are in quarantine.
        OverBudget: the night or its month has spent its budget; the last checkpoint is kept.
        PhaseSpent: likewise, where it is a budget of the phase's own.
        Interrupted: the training was asked to end; the same night started again goes on from its checkpoint.
        ModelError: it can't be trained so. PoolError: the program failed.
    """
    store, home, tracker = place.store(), place.home(), place.tracking()
    pool = place.pool(recipe.pool)
    told = called or step_of("align", number)
    run = tracker.nested_run(night.mlflow_run, told)
    tracker.params(run, {f"phase.{key}": value for key, value in recipe.phase[0].model_dump().items()})
    tracker.dataset(
        run, "preferences", preferences.train.digest_, "training", {"pairs": preferences.n_train, "used": plan.pairs}
    )
    context = course(recipe, plan, preferences, base, reward)
    checkpoints = home / "checkpoints" / short(context, 32)
    days = place.settings().keep_checkpoints_days
    swept = sweep(checkpoints.parent, but=checkpoints, days=days)
    if night.fresh:
        clear(checkpoints)
    work = fresh_folder(home / "work" / f"align-{short(night.id, 16)}")
    spec = make_spec(recipe, plan, preferences, base, work) | {"context": context, "checkpoints": str(checkpoints)}
    if reward is not None:
        spec["reward_model"] = str(laid_out(reward, home, store))
    pairs = store.put_file(work / "pairs.jsonl", LINES)
    if swept:
        names = ", ".join(folder.name for folder in swept)
        removed = f"removed {names} in {checkpoints.parent}: no night went on from them for {days:g} days"
        spec["said"] = "; ".join(filter(None, (spec.get("said"), removed)))
    with tracker.ending(run):
        try:
            budget = watch(night, recipe, pool.device(), number)
            result = run_training(
                pool, spec, work, lambda values, step: tracker.metrics(run, values, step), budget, told
            )
        except Unhealthy as error:
            tracker.tags(run, {"nightshift.unhealthy": error.what})
            send_to_quarantine(home, list(error.pairs), error.what, night.name)
            raise
        made = store_made(recipe, work / "out", base, store)
        device = pool.device()
        if not METHODS[recipe.phase[0].method].online:  # drawing answers waits for memory: that is no rate of training
            remember(home, device.kind, result["flops"], result["seconds"], device.count, pool.hardware())
        clear(checkpoints)
    history = store.put_json(result["history"])
    if isinstance(made, Tree):
        found = store.put_json(result["reward"])
        return RewardModel(model=made, found=found, history=history, pairs=pairs, mlflow_run=run)
    return Candidate(
        model=made,
        preferences=preferences.digest,
        recipe=recipe.digest,
        history=history,
        pairs=pairs,
        mlflow_run=run,
        machine=machine_of(work, store),
        device=pool.device_kind(),
        peak_memory_bytes=result.get("peak_memory_bytes"),
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
    folder, below = start_of(base, home, store, pool)
    return {
        **({"held_out": str(work / "held_out.jsonl")} if held_out else {}),
        **({"said": said} if said else {}),
        **({"stack_on": str(below)} if below is not None and adds_up(phase) else {}),
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


def start_of(base: Model, home: Path, store: Store, pool: Pool) -> tuple[Path, Path | None]:
    """The folder that a phase trains from, and the adapter that is merged into it; None where it is the base model.

    Merged, the phase before is what the model without its new adapter is: the reference of DPO, and what the price and
    the limit of divergence hold it to.
    """
    folder, below = checkout(base, home, store)
    if below is not None:
        with Live("merge") as handle:
            folder = merged_folder(base, home, store, pool, handle)
    return folder, below


def run_training(
    pool: Pool,
    spec: dict[str, Any],
    work: Path,
    on_metrics: OnMetrics,
    budget: Watch | None = None,
    called: str = "align",
) -> dict[str, Any]:
    """The program's result. Out of memory, it is run once more with half the tokens at once.

    Args:
        budget: looks at each word of the program, and ends it where too much is spent.
        called: the step, in the live progress.
    """
    first = _run_once(pool, spec, work, on_metrics, budget, called)
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
    second = _run_once(pool, half, work, on_metrics, budget, called)
    if isinstance(second, dict):
        return second
    raise ModelError(
        f"the training ran out of memory twice, with {spec['max_tokens']} and {half['max_tokens']} tokens at once: "
        f"{second}",
        do=MEMORY_DO,
    )


def phase_is_cut(phase: Phase) -> bool:
    """Whether its steps go through the model in parts of ``max_tokens``."""
    method = METHODS[phase.trained.method]
    return method.online or (method.packed and not COUPLED.intersection(phase.losses))


def _run_once(
    pool: Pool, spec: dict[str, Any], work: Path, on_metrics: OnMetrics, budget: Watch | None, called: str
) -> dict[str, Any] | str:
    """The program's result, or what it said when it ran out of memory."""
    stops: list[dict[str, Any]] = []
    with Live(called, on_metrics, price(pool)) as handle:

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


def course(recipe: Recipe, plan: Plan, preferences: Preferences, base: Model, reward: Tree | None = None) -> Digest:
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
            *([reward.digest_] if reward else []),
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
    night: Night,
    recipe: Recipe,
    plan: Plan,
    preferences: Preferences,
    base: Model,
    number: int = 1,
    reward: Tree | None = None,
) -> list[Digest | list[Any]]:
    """What decides the result's bytes: pairs, their number, phase, seed, where it starts, what rewards, and the
    libraries that train."""
    return [
        preferences.train.digest,
        base.digest,
        [plan.pairs, plan.steps, recipe.seed, left_out_tonight(preferences)],
        [list(recipe.phase)],
        _replayed(recipe, plan),
        library_versions(),
        *([reward.digest_] if reward else []),
    ]


def library_versions() -> list[str]:
    from importlib.metadata import version

    return [f"{name}=={version(name)}" for name in ("torch", "transformers", "trl", "peft", "accelerate")]
