"""validate: flag rows, quarantine what fails, judge the profile, split what passes into training pairs and house."""

import hashlib
import json
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import ibis
import pyarrow as pa
import pyarrow.parquet as pq
from tokenizers import Tokenizer

from infra.jsonl import dump_lines
from infra.store import Blob, Store, Tree
from tasks.contracts import Preferences, Snapshot
from tasks.data.checks import CHECKS, Limits, flags, prepare, profile
from tasks.data.judge_profile import judge_profile, site_folder, stop_on_breach
from tasks.recipe import DataSpec

TEXTS = ("prompt", "chosen", "rejected")


def make_preferences(
    snapshot: Snapshot,
    data: DataSpec,
    tokenizer: Path,
    gate_prompts: Iterable[str],
    max_house: int,
    store: Store,
    failed: Path,
) -> Preferences:
    """Validate a snapshot.

    Args:
        tokenizer: the model's ``tokenizer.json``; token bounds are counted with it.
        gate_prompts: prompts of the gate's items, which must not be trained on.
        max_house: most items of the house suite; further held-out pairs are kept out of training all the same.
        failed: folder where quarantine and Data Docs are left when the night stops here.

    Raises:
        DataBreach: a critical expectation is breached, or one could not be computed.
    """
    rows = _with_tokens(pq.read_table(store.open_path(snapshot.rows.digest_)), Tokenizer.from_file(str(tokenizer)))
    flagged, figures = _flag(rows, data, list(gate_prompts))
    quarantine = _quarantine(rows, flagged)
    with tempfile.TemporaryDirectory() as folder:
        findings = judge_profile(figures, max_quarantined=data.max_quarantined, docs=Path(folder))
        docs = store.put_tree(site_folder(Path(folder)))
    quarantined = store.put_bytes(dump_lines(quarantine), "application/jsonl")
    leave_for_reading(failed, store, docs, quarantined)
    warnings = stop_on_breach(findings)
    fails = flagged["fails"].to_pylist()
    passed = [row for row, bad in zip(rows.to_pylist(), fails, strict=True) if not bad]
    train, house = split(passed, data.holdout)
    return Preferences(
        train=store.put_bytes(dump_lines(_pair(row) for row in train), "application/jsonl"),
        house=store.put_bytes(dump_lines(_item(row) for row in house[:max_house]), "application/jsonl"),
        quarantine=quarantined,
        profile=store.put_json(figures),
        data_docs=docs,
        n_train=len(train),
        n_house=min(len(house), max_house),
        n_held_out=len(house),
        n_quarantined=len(quarantine),
        warnings=tuple(warnings),
    )


def split(rows: list[dict[str, Any]], holdout: float) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Training rows and held-out rows by hash of the prompt: a prompt never changes sides, tonight or any other night.

    Both come in hash order, so that a cut takes no side of the file's order.
    """
    ordered = sorted(rows, key=lambda row: (prompt_bucket(row["prompt_text"]), row["row"]))
    return (
        [row for row in ordered if prompt_bucket(row["prompt_text"]) >= holdout],
        [row for row in ordered if prompt_bucket(row["prompt_text"]) < holdout],
    )


def prompt_bucket(prompt: str) -> float:
    """A prompt's place in [0, 1): case, spacing and punctuation don't move it."""
    key = " ".join("".join(char if char.isalnum() else " " for char in prompt.lower()).split())
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


def _with_tokens(rows: pa.Table, tokenizer: Tokenizer) -> pa.Table:
    rows = rows.append_column("row", pa.array(range(rows.num_rows), pa.int64()))
    for name in TEXTS:
        encoded = tokenizer.encode_batch_fast(rows[f"{name}_text"].to_pylist(), add_special_tokens=False)
        rows = rows.append_column(f"{name}_tokens", pa.array([len(one.ids) for one in encoded], pa.int64()))
    return rows


def _flag(rows: pa.Table, data: DataSpec, gate_prompts: list[str]) -> tuple[pa.Table, dict[str, Any]]:
    limits = Limits(
        max_prompt_tokens=data.max_prompt_tokens,
        max_answer_tokens=data.max_answer_tokens,
        min_answer_tokens=data.min_answer_tokens,
    )
    connection = ibis.duckdb.connect()
    try:
        # as expressions: ibis 12 can't create a DuckDB table from an Arrow table with the pinned sqlglot
        table = connection.create_table("snapshot_rows", ibis.memtable(rows))
        gate = ibis.memtable(pa.table({"prompt_text": pa.array(gate_prompts, pa.string())}))
        flagged = connection.create_table("row_flags", flags(prepare(table, gate), limits))
        figures = profile(flagged).to_pyarrow().to_pylist()[0]
        return flagged.order_by("row").to_pyarrow(), figures
    finally:
        connection.disconnect()


def _quarantine(rows: pa.Table, flagged: pa.Table) -> list[dict[str, Any]]:
    """One object a failing row: where it is from, every reason, and the record as it came."""
    reasons = flagged.select(list(CHECKS)).to_pylist()
    return [
        {
            "id": row["id"],
            "source": row["source"],
            "line": row["line"],
            "reasons": [name for name, bad in why.items() if bad],
            "error": row["error"],
            "raw": row["raw"],
        }
        for row, why in zip(rows.to_pylist(), reasons, strict=True)
        if any(why.values())
    ]


def leave_for_reading(folder: Path, store: Store, docs: Tree, quarantine: Blob) -> None:
    """Lay quarantine and Data Docs beside the night, also (and above all) when it stops here."""
    store.checkout(docs, folder / "data_docs")
    (folder / "quarantine.jsonl").write_bytes(store.read_bytes(quarantine))


def _pair(row: dict[str, Any]) -> dict[str, Any]:
    return {"id": row["id"], **{name: json.loads(row[name]) for name in TEXTS}}


def _item(row: dict[str, Any]) -> dict[str, Any]:
    return {
        "id": f"{row['source']}:{row['line']}",
        "topic": row["source"],
        "messages": json.loads(row["prompt"]),
        "choices": [row["chosen_text"], row["rejected_text"]],
        "answer": 0,
    }
