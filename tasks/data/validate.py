"""validate: flag rows, quarantine what fails, judge the profile, split what passes into training pairs and house."""

import shutil
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import ibis
import pyarrow as pa

from infra.digest import digest_file
from infra.jsonl import dump_lines
from infra.store import Blob, Store, Tree
from tasks.contracts import Preferences, Snapshot
from tasks.data.checks import Limits
from tasks.data.facts import write_facts
from tasks.data.judge_profile import judge_profile, site_folder, stop_on_breach
from tasks.data.keys import below, prompt_key
from tasks.data.measure import measure
from tasks.data.outputs import house_items, quarantine_part, train_part
from tasks.data.session import Session, open_session
from tasks.parts import LINES, joined
from tasks.recipe import DataSpec

MARKS = ("relabelled", "cycle", "near_duplicate", "near_contradiction")


class Where(NamedTuple):
    """Where validate works.

    Attributes:
        kept: folder of what earlier nights computed.
        failed: folder where quarantine and Data Docs are left when the night stops here.
    """

    store: Store
    kept: Path
    failed: Path


def make_preferences(
    snapshot: Snapshot, data: DataSpec, tokenizer: Path, gate_prompts: Iterable[str], max_house: int, where: Where
) -> Preferences:
    """Validate a snapshot.

    Args:
        tokenizer: the model's ``tokenizer.json``; token bounds are counted with it.
        gate_prompts: prompts of the gate's items, which must not be trained on.
        max_house: most items of the house suite; further held-out pairs are kept out of training all the same.

    Raises:
        DataBreach: a critical expectation is breached, or one could not be computed.
    """
    store, kept = where.store, where.kept
    features = [
        measure("rows", snapshot.shards, (), None, store, kept),
        measure("tokens", snapshot.shards, (str(tokenizer),), digest_file(tokenizer), store, kept),
    ]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = write_facts(snapshot.shards, features, store, folder)
        with open_session(facts, folder) as session:
            figures = session.flag(no_marks(), [prompt_key(one) for one in gate_prompts], _limits(data))
            quarantine, n_quarantined = _quarantine(snapshot, session, where)
            findings = judge_profile(figures, max_quarantined=data.max_quarantined, docs=folder / "docs")
            docs = store.put_tree(site_folder(folder / "docs"))
            leave_for_reading(where.failed, store, docs, quarantine)
            warnings = stop_on_breach(findings)
            train, n_train = _train(snapshot, session, data.holdout, where)
            house, n_house, n_held_out = _house(snapshot, session, data.holdout, max_house, store)
    return Preferences(
        train=train,
        house=house,
        quarantine=quarantine,
        profile=store.put_json(figures),
        data_docs=docs,
        n_train=n_train,
        n_house=n_house,
        n_held_out=n_held_out,
        n_quarantined=n_quarantined,
        warnings=tuple(warnings),
    )


def _limits(data: DataSpec) -> Limits:
    return Limits(
        max_prompt_tokens=data.max_prompt_tokens,
        max_answer_tokens=data.max_answer_tokens,
        min_answer_tokens=data.min_answer_tokens,
    )


def no_marks() -> pa.Table:
    """Where nothing was found of any row."""
    return pa.table({"row": pa.array([], pa.int64()), **{name: pa.array([], pa.bool_()) for name in MARKS}})


def _quarantine(snapshot: Snapshot, session: Session, where: Where) -> tuple[Blob, int]:
    """All failing rows of all shards, in one file."""
    count = 0
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        for number, shard in enumerate(snapshot.shards):
            flagged = session.of_shard(number)
            part = quarantine_part(shard, flagged, where.store, where.kept)
            count += sum(flagged["fails"].to_pylist())
            with where.store.open_path(part.digest_).open("rb") as lines:
                shutil.copyfileobj(lines, file)
        file.flush()
        return where.store.put_file(Path(file.name), LINES), count


def _train(snapshot: Snapshot, session: Session, holdout: float, where: Where) -> tuple[Blob, int]:
    """What passed and isn't held out, by the prompts' keys within a shard: no cut takes a source's side."""
    parts, count, first = [], 0, below(holdout)
    for number, shard in enumerate(snapshot.shards):
        flagged = session.of_shard(number).sort_by([("prompt_key", "ascending"), ("row", "ascending")])
        columns = [flagged[name].to_pylist() for name in ("place", "fails", "prompt_key", "kind")]
        places = [
            place
            for place, fails, key, kind in zip(*columns, strict=True)
            if not fails and key >= first and kind != "document"
        ]
        count += len(places)
        parts.append(train_part(shard, places, where.store, where.kept))
    return joined(parts, where.store), count


def _house(snapshot: Snapshot, session: Session, holdout: float, max_house: int, store: Store) -> tuple[Blob, int, int]:
    """Held-out pairs, those with the lowest keys first: a prompt never changes sides, tonight or any other night."""
    flagged: Any = session.flagged
    held = flagged.filter(
        ~flagged.fails & (flagged.kind == "pair") & (flagged.prompt_key < ibis.literal(below(holdout), "int64"))
    )
    chosen = held.order_by(["prompt_key", "row"]).limit(max_house).select("shard", "place").to_pyarrow()
    items = house_items(dict(enumerate(snapshot.shards)), chosen, store)
    count = int(held.count().to_pyarrow().as_py())
    return store.put_bytes(dump_lines(items), LINES), len(items), count


def leave_for_reading(folder: Path, store: Store, docs: Tree, quarantine: Blob) -> None:
    """Lay quarantine and Data Docs beside the night, also (and above all) when it stops here."""
    store.checkout(docs, folder / "data_docs")
    shutil.copyfile(store.open_path(quarantine.digest_), folder / "quarantine.jsonl")
