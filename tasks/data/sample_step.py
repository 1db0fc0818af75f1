"""The sample step, between collect and validate. Without a source of documents it passes the snapshot on, on a CPU."""

from typing import Any

from infra.live import Live
from infra.step import CPU, step
from infra.store import Store
from tasks import place
from tasks.contracts import Baselines, Device, Model, Night, Snapshot
from tasks.data.rows import Built
from tasks.data.sample import SAMPLING, answer_store, answers, has_documents, outcomes, serving, unasked
from tasks.data.sample_rows import questions_in, with_pairs
from tasks.data.shards import rows_of, stored
from tasks.lm.merged import dtype_of
from tasks.recipe import Recipe


def _key(night: Night, recipe: Recipe, snapshot: Snapshot, base: Model, baselines: Baselines) -> list[Any]:
    if not has_documents(recipe):
        return [snapshot]
    return [
        snapshot, serving(base, baselines), SAMPLING, recipe.serve.quantise, dtype_of(place.pool(recipe.pool)),
    ]  # fmt: skip


def _device(night: Night, recipe: Recipe, snapshot: Snapshot, base: Model, baselines: Baselines) -> Device:
    """The pool's, where there is something to ask."""
    if not has_documents(recipe):
        return CPU
    questions = [one for _, found in _asked(snapshot, place.store()) for one in found]
    kept = answer_store(place.home(), recipe, serving(base, baselines), SAMPLING)
    return place.pool(recipe.pool).device() if unasked(questions, kept) else CPU


def sample_documents(night: Night, recipe: Recipe, snapshot: Snapshot, base: Model, baselines: Baselines) -> Snapshot:
    """The sample step where a source is of documents; else the snapshot, and no step."""
    return sample(night, recipe, snapshot, base, baselines) if has_documents(recipe) else snapshot


@step(area="data", key=_key, device=_device)
def sample(night: Night, recipe: Recipe, snapshot: Snapshot, base: Model, baselines: Baselines) -> Snapshot:
    """Documents' questions become pairs with the serving model's own answers, on the pool."""
    return sampled(night, recipe, snapshot, serving(base, baselines)) if has_documents(recipe) else snapshot


def sampled(night: Night, recipe: Recipe, snapshot: Snapshot, model: Model) -> Snapshot:
    """The snapshot whose questions are pairs; those that make none have left it. All else stays as it is."""
    store = place.store()
    asked = _asked(snapshot, store)
    questions = [one for _, found in asked for one in found]
    if not questions:
        return snapshot
    with Live("sample") as on_event:
        said = answers(night, recipe, model, questions, SAMPLING, on_event)
        pairs, tally = outcomes(questions, said, model.digest)
        on_event({"event": "log", "text": tally.sentence()})
    shards, begun = [], 0
    for shard, (places, found) in zip(snapshot.shards, asked, strict=True):
        made = pairs[begun : begun + len(found)]
        begun += len(found)
        shards.append(stored(with_pairs(rows_of(shard, store), places, made), store) if found else shard)
    kept = tuple(shard for shard in shards if shard.n_rows)
    return snapshot.model_copy(update={"shards": kept, "n_rows": sum(shard.n_rows for shard in kept)})


def _asked(snapshot: Snapshot, store: Store) -> list[tuple[list[int], list[Built]]]:
    """Of each shard the questions and their places."""
    found: list[tuple[list[int], list[Built]]] = []
    for shard in snapshot.shards:
        kinds = rows_of(shard, store, ["kind"])["kind"].unique().to_pylist()
        found.append(questions_in(rows_of(shard, store)) if "document" in kinds else ([], []))
    return found
