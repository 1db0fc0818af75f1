"""Gather what decide looks at: from the store, the pool and the models' configs."""

import json
from pathlib import Path
from typing import Any

from infra.pools.base import Pool
from infra.store import Blob, Store
from tasks.contracts import Baselines, Model, Preferences, Suites
from tasks.lm.base import config, parameters
from tasks.lm.speed import speed
from tasks.plan.decide import Facts


def gather(
    preferences: Preferences, base: Model, baselines: Baselines, suites: Suites, pool: Pool, store: Store, home: Path
) -> Facts:
    """All facts of tonight's decision."""
    shape = config(base.base, store)
    figures: dict[str, Any] = json.loads(store.read_bytes(preferences.profile))
    device = pool.device()
    answers = figures["mean_chosen_tokens"] + figures["mean_rejected_tokens"]
    return Facts(
        new_pairs=count_new(preferences.train, baselines.champion.trained_on if baselines.champion else None, store),
        train_pairs=preferences.n_train,
        house_items=preferences.n_house,
        gate_items=preferences.n_house
        + sum(len(suite["items"]) for suite in json.loads(store.read_bytes(suites.suites)).values()),
        parameters=parameters(base.base),
        hidden=_integer(shape, "hidden_size"),
        layers=_integer(shape, "num_hidden_layers"),
        vocabulary=_integer(shape, "vocab_size"),
        mean_pair_tokens=2 * figures["mean_prompt_tokens"] + answers,
        max_pair_tokens=2 * figures["max_prompt_tokens"] + 2 * figures["max_answer_tokens"],
        memory_bytes=pool.memory_bytes(),
        device=device,
        speed=speed(home, device.kind)[0],
        pool_problems=tuple(pool.check()),
    )


def count_new(train: Blob, before: Blob | None, store: Store) -> int:
    """Training pairs that the champion was not trained on; all of them where it is a base model."""
    pairs = set(store.read_bytes(train).splitlines())
    if before is None:
        return len(pairs)
    return len(pairs - set(store.read_bytes(before).splitlines()))


def _integer(shape: dict[str, Any], key: str) -> int:
    value = shape.get(key, shape.get("text_config", {}).get(key))
    return int(value) if value is not None else 0
