"""Gather what decide looks at: from the store, the pool and the models' configs."""

import hashlib
import json
from pathlib import Path
from typing import Any

from infra.pools.base import Pool
from infra.store import Blob, Store
from tasks.chained import makes_candidate
from tasks.contracts import Baselines, Model, Preferences, Suites
from tasks.lm.base import config, parameters
from tasks.lm.speed import rate
from tasks.parts import lines_of, parts_of
from tasks.phases import METHODS, Phase
from tasks.plan.held import Facts
from tasks.plan.memory import TEMPLATE_TOKENS, Shape
from tasks.recipe import Recipe
from tasks.trainable import about, count_unfit, count_units, fitting, has_truth


def gather(
    recipe: Recipe,
    preferences: Preferences,
    base: Model,
    baselines: Baselines,
    suites: Suites,
    pool: Pool,
    store: Store,
    home: Path,
    month_left: float | None = None,
) -> Facts:
    """All facts of tonight's decision on one pool, of every phase.

    Raises:
        PoolError: the pool can't say what it has. PlanError: a measured speed of an earlier night can't be read.
    """
    first, *later = (
        _of_phase(recipe.alone(number), preferences, base, baselines, suites, pool, store, home, month_left)
        for number in range(1, len(recipe.phase) + 1)
    )
    return first.model_copy(update={"later": tuple(later)}) if later else first


def _of_phase(
    recipe: Recipe,
    preferences: Preferences,
    base: Model,
    baselines: Baselines,
    suites: Suites,
    pool: Pool,
    store: Store,
    home: Path,
    month_left: float | None,
) -> Facts:
    """Of a recipe with one phase."""
    shape = config(base.base, store)
    figures: dict[str, Any] = json.loads(store.read_bytes(preferences.profile))
    device, hardware = pool.device(), pool.hardware()
    phase = recipe.phase[0]
    method = phase.method
    before = baselines.champion.trained_on if baselines.champion else None
    prompts = 1 if METHODS[phase.trained.method].packed and phase.packing else 2  # a pair's, computed
    answers = figures["mean_chosen_tokens"] + figures["mean_rejected_tokens"]
    return Facts(
        new_pairs=count_new(preferences.train, before, store, phase, recipe.seed),
        train_pairs=count_units(fitting(lines_of(preferences.train, store), phase), method, recipe.seed),
        unfit_labels=count_unfit(about(lines_of(preferences.train, store), phase.on), method),
        without_truth=_without_truth(preferences.train, phase, store),
        house_items=preferences.n_house,
        gate_items=_gate_items(preferences, suites, store) if makes_candidate(phase) else 0,
        shape=shape_of(shape, parameters(base.base)),
        context=_integer(shape, "max_position_embeddings") or 10**9,
        mean_item_tokens=2 * figures["mean_prompt_tokens"] + answers,
        mean_prompt_tokens=figures["mean_prompt_tokens"],
        mean_answer_tokens=answers / 2,
        max_prompt_tokens=figures["max_prompt_tokens"],
        max_pair_tokens=prompts * figures["max_prompt_tokens"] + 2 * figures["max_answer_tokens"] + TEMPLATE_TOKENS,
        max_sequence_tokens=figures["max_prompt_tokens"] + figures["max_answer_tokens"] + TEMPLATE_TOKENS,
        memory_bytes=pool.memory_bytes(),
        device=device,
        hardware=hardware,
        rate=rate(home, device.kind, hardware),
        shares_weights=pool.shares_weights(),
        prompts_a_pair=prompts,
        pool_problems=tuple(pool.check()),
        month_left=month_left,
        earlier=baselines.champion.trained_on if baselines.champion and recipe.data.replay is not None else None,
    )


def _gate_items(preferences: Preferences, suites: Suites, store: Store) -> int:
    """Items that a candidate is scored on."""
    own = json.loads(store.read_bytes(suites.suites)).values()
    return preferences.n_house + sum(len(suite["items"]) for suite in own)


def shape_of(config: dict[str, Any], parameters: int) -> Shape:
    """A model's sizes from its ``config.json``."""
    hidden, heads = _integer(config, "hidden_size"), _integer(config, "num_attention_heads") or 1
    width = _integer(config, "head_dim") or hidden // heads
    return Shape(
        parameters=parameters,
        hidden=hidden,
        intermediate=_integer(config, "intermediate_size"),
        layers=_integer(config, "num_hidden_layers"),
        query_width=heads * width,
        key_width=(_integer(config, "num_key_value_heads") or heads) * width,
        vocabulary=_integer(config, "vocab_size"),
    )


def count_new(train: Blob, before: Blob | None, store: Store, phase: Phase, seed: int = 0) -> int:
    """Training pairs that the champion was not trained on; all of them where it is a base model. Of labels, those that
    the phase's method takes, as units."""
    known = frozenset(parts_of(before, store)) if before is not None else frozenset[Blob]()
    fresh = [part for part in parts_of(train, store) if part not in known]  # equal parts hold equal lines
    seen = {_short(line) for part in known for line in lines_of(part, store)} if fresh else set[bytes]()
    lines = {_short(line): line for part in fresh for line in lines_of(part, store) if _short(line) not in seen}
    return count_units(fitting(lines.values(), phase), phase.method, seed)


def _without_truth(train: Blob, phase: Phase, store: Store) -> int:
    if not phase.needs_truth:
        return 0
    return sum(not has_truth(line) for line in about(lines_of(train, store), phase.on))


def _short(line: bytes) -> bytes:
    """Of a million lines that were trained on, their digests are held."""
    return hashlib.blake2b(line, digest_size=16).digest()


def _integer(shape: dict[str, Any], key: str) -> int:
    value = shape.get(key, shape.get("text_config", {}).get(key))
    return int(value) if value is not None else 0
