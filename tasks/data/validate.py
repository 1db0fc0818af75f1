"""validate: flag rows, quarantine what fails, judge the profile, split what passes into training pairs and house."""

import shutil
import tempfile
from pathlib import Path
from typing import Any, NamedTuple

import ibis
import pyarrow as pa

from infra.digest import Digest, digest_file, digest_of
from infra.jsonl import dump_lines
from infra.store import Blob, Store, Tree
from tasks.contracts import Preferences, Snapshot
from tasks.data.checks import Limits
from tasks.data.facts import write_facts
from tasks.data.findings import Findings, find
from tasks.data.judge_profile import judge_profile, site_folder, stop_on_breach
from tasks.data.keys import below, prompt_key
from tasks.data.measure import measure
from tasks.data.outputs import Masks, house_items, quarantine_part, train_part
from tasks.data.personal.policy import kinds_with, mask_key
from tasks.data.session import Session, open_session
from tasks.parts import LINES, joined
from tasks.recipe import DataSpec


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
    snapshot: Snapshot, data: DataSpec, tokenizer: Path, guarded: list[dict[str, Any]], max_house: int, where: Where
) -> Preferences:
    """Validate a snapshot.

    Args:
        tokenizer: folder of the model's tokenizer and chat template; token bounds are counted with them.
        guarded: texts of the gate's items, which must not be trained on: ``suite``, ``item``, ``text``, ``is_prompt``.
        max_house: most items of the house suite; further held-out pairs are kept out of training all the same.

    Raises:
        DataBreach: a critical expectation is breached, or one could not be computed.
    """
    store, kept, shards = where.store, where.kept, snapshot.shards
    bounds = [data.max_prompt_tokens, data.max_answer_tokens]
    of_facts = {
        "rows": measure("rows", shards, (), None, store, kept),
        "personal": measure("personal", shards, (data.personal.regions,), data.personal.regions, store, kept),
        "tokens": measure("tokens", shards, (tokenizer, *bounds), [tokenizer_digest(tokenizer), *bounds], store, kept),
    }
    of_texts = {name: measure(name, shards, (), None, store, kept) for name in ("signatures", "ngrams")}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        facts = write_facts(shards, of_facts, store, folder)
        with open_session(facts, folder, shards, of_texts, _limits(data), store) as session:
            asked = [prompt_key(one["text"]) for one in guarded if one["is_prompt"]]
            items = _items(guarded, session.house(below(data.holdout), max_house))
            found = find(session, shards, items, below(data.holdout), store, kept)
            figures = session.flag(found.marks, asked) | _figures(found)
            quarantine, n_quarantined = _quarantine(snapshot, session, where)
            findings = judge_profile(figures, max_quarantined=data.max_quarantined, docs=folder / "docs")
            docs = store.put_tree(site_folder(folder / "docs"))
            leave_for_reading(where.failed, store, docs, quarantine)
            warnings = stop_on_breach(findings)
            masks = Masks(data.personal, mask_key(kept), of_facts["personal"])
            train, n_train = _train(snapshot, session, data.holdout, masks, where)
            house, n_house, n_held_out = _house(snapshot, session, data.holdout, max_house, masks, store)
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


def tokenizer_digest(folder: Path) -> Digest:
    """Of all that decides how a text becomes tokens."""
    return digest_of([[path.name, digest_file(path)] for path in sorted(folder.iterdir()) if path.is_file()])


def _limits(data: DataSpec) -> Limits:
    return Limits(
        max_prompt_tokens=data.max_prompt_tokens,
        max_answer_tokens=data.max_answer_tokens,
        min_answer_tokens=data.min_answer_tokens,
        personal=kinds_with(data.personal, "quarantine"),
    )


def _items(guarded: list[dict[str, Any]], house: list[tuple[int, str, str, str]]) -> pa.Table:
    """Texts of the gate's items, and of those that the house suite will have."""
    held = [
        {"suite": "house", "item": str(row), "text": text, "is_prompt": False}
        for row, *texts in house
        for text in texts
    ]
    columns = {name: pa.array([one[name] for one in (*guarded, *held)], kind) for name, kind in _ITEMS.items()}
    return pa.table(columns)


_ITEMS = {"suite": pa.string(), "item": pa.string(), "text": pa.string(), "is_prompt": pa.bool_()}


def _figures(found: Findings) -> dict[str, Any]:
    """What the findings add to the profile. Agreement of nobody with nobody is full: it warns of nothing."""
    alpha = found.agreement.alpha
    return {
        "annotator_agreement": 1.0 if alpha is None else alpha,
        "leaked_items": len(found.leaked_items),
        "near_comparisons_skipped": found.skipped,
    }


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


def _train(snapshot: Snapshot, session: Session, holdout: float, masks: Masks, where: Where) -> tuple[Blob, int]:
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
        parts.append(train_part(number, shard, places, masks, where.store, where.kept))
    return joined(parts, where.store), count


def _house(
    snapshot: Snapshot, session: Session, holdout: float, max_house: int, masks: Masks, store: Store
) -> tuple[Blob, int, int]:
    """Held-out pairs, those with the lowest keys first: a prompt never changes sides, tonight or any other night."""
    flagged: Any = session.flagged
    held = flagged.filter(
        ~flagged.fails & (flagged.kind == "pair") & (flagged.prompt_key < ibis.literal(below(holdout), "int64"))
    )
    chosen = held.order_by(["prompt_key", "row"]).limit(max_house).select("shard", "place").to_pyarrow()
    items = house_items(snapshot.shards, chosen, masks, store)
    count = int(held.count().to_pyarrow().as_py())
    return store.put_bytes(dump_lines(items), LINES), len(items), count


def leave_for_reading(folder: Path, store: Store, docs: Tree, quarantine: Blob) -> None:
    """Lay quarantine and Data Docs beside the night, also (and above all) when it stops here."""
    store.checkout(docs, folder / "data_docs")
    shutil.copyfile(store.open_path(quarantine.digest_), folder / "quarantine.jsonl")
