"""Precision and recall of what tasks/data finds between rows, on planted truth whose similarity is known.

    python benchmarks/detection.py              # about 50,000 rows
    python benchmarks/detection.py --seed 7 --rows 10000
    python benchmarks/detection.py --spark local[2]     # near-duplicates by Spark's MinHashLSH instead

The texts are random words; a third of the answers has canned text around it. Planted among them:

- near_duplicate: rows whose prompt and answers each have a Jaccard similarity of 0.8 to 0.95, counted with Python's
  sets; and as many decoys, of which one part has 0.6 to 0.75. A pair that is found counts as right only if its sets
  say so.
- contradiction: the same with answers swapped, a third of them word by word
- exact_duplicate: rows that differ in case, spaces and punctuation
- cycle: preferences of one prompt that go round over 2 to 8 answers, beside chains that don't
- leakage: 13 to 40 words of an item in a prompt or an answer; decoys share 12, or the instruction of all items

The last line is one JSON object with precision and recall of each, ``at_threshold``: recall of near-duplicates and
contradictions whose least similarity is below 0.82, and rows a second.
"""

import argparse
import itertools
import json
import random
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import duckdb  # noqa: E402
import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402

from infra.settings import Settings, apply_environment  # noqa: E402
from tasks.data import graph, leakage, near  # noqa: E402
from tasks.data.features import ngrams, signatures  # noqa: E402
from tasks.data.spark.engine import open_spark  # noqa: E402
from tasks.data.spark.files import Part  # noqa: E402
from tasks.data.words import TEXTS, hash_sequences, parts, spell, words_of  # noqa: E402

Row = tuple[str, str, str]
Pair = tuple[int, int]


class Planted(NamedTuple):
    rows: list[Row]
    pairs: dict[str, dict[Pair, float]]  # duplicate, contradiction: with their least similarity
    copies: set[Pair]
    cyclic: set[int]
    items: list[dict[str, Any]]
    leaked: set[tuple[int, str]]


class Writer:
    """Random texts, and changed ones."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        letters = "abcdefghijklmnopqrstuvwxyz"
        self.words = ["".join(self.random.choices(letters, k=self.random.randint(2, 9))) for _ in range(30_000)]
        self.weights = list(itertools.accumulate(1 / (rank + 10) for rank in range(len(self.words))))
        self.canned = [self.text(20, 30) for _ in range(40)]

    def text(self, least: int, most: int) -> str:
        n = self.random.randint(least, most)
        return " ".join(self.random.choices(self.words, cum_weights=self.weights, k=n))

    def row(self) -> Row:
        prompt, chosen, rejected = self.text(20, 60), self.text(20, 110), self.text(20, 110)
        if self.random.random() < 1 / 3:
            chosen = f"{self.random.choice(self.canned)} {chosen} {self.random.choice(self.canned)}"
        return prompt, chosen, rejected

    def changed(self, text: str, low: float, high: float) -> str:
        """The text with words replaced until its similarity is at most ``high``, or the next would make it less than
        ``low``.
        """
        words, changed = text.split(), text
        for place in self.random.sample(range(len(words)), len(words)):
            words[place] = self.random.choice(self.words)
            similarity = jaccard(text, " ".join(words))
            if similarity >= low:
                changed = " ".join(words)
            if similarity <= high:
                break
        return changed

    def restyled(self, text: str) -> str:
        word = self.random.choice(text.split())
        return self.random.choice(
            [text.upper(), f"  {text}!", text.replace(" ", ", "), text.replace(word, word.title())]
        )


def jaccard(a: str, b: str) -> float:
    x, y = (set(itertools.pairwise(["", *text.lower().split(), ""])) for text in (a, b))
    return len(x & y) / len(x | y)


def least(a: Row, b: Row) -> tuple[float, float]:
    """The least similarity of two rows' parts, with answers straight and swapped."""
    prompt = jaccard(a[0], b[0])
    straight = min(prompt, jaccard(a[1], b[1]), jaccard(a[2], b[2]))
    return straight, min(prompt, jaccard(a[1], b[2]), jaccard(a[2], b[1]))


def plant(writer: Writer, n: int) -> Planted:
    """``n`` rows, the planted ones among them at the end; a fiftieth of them of each kind."""
    some = n // 50
    rows = [writer.row() for _ in range(n - 12 * some)]
    pairs: dict[str, dict[Pair, float]] = {"duplicate": {}, "contradiction": {}}
    copies: set[Pair] = set()
    originals = iter(range(len(rows)))
    for kind, decoy in itertools.product(pairs, (False, True)):
        for number in range(some):
            at = next(originals)
            ranges = [(0.8, writer.random.choice([0.82, 0.9, 0.95])) for _ in TEXTS]
            if decoy:
                ranges[writer.random.randrange(3)] = (0.6, 0.75)
            new = [writer.changed(text, *one) for text, one in zip(rows[at], ranges, strict=True)]
            if kind == "contradiction":
                new[1:] = [new[2], new[1]] if number % 3 or decoy else [rows[at][2], rows[at][1]]
            rows.append((new[0], new[1], new[2]))
            if not decoy:
                pairs[kind][at, len(rows) - 1] = least(rows[at], rows[-1])[kind == "contradiction"]
    for _ in range(some):
        at = next(originals)
        copies.add((at, len(rows)))
        rows.append(tuple(writer.restyled(text) for text in rows[at]))  # type: ignore[arg-type]
    cyclic = _plant_cycles(writer, rows, 3 * some)
    items, leaked = _plant_leaks(writer, rows, 4 * some)
    return Planted(rows, pairs, copies, cyclic, items, leaked)


def _plant_cycles(writer: Writer, rows: list[Row], n: int) -> set[int]:
    cyclic = set()
    upto = len(rows) + n
    while len(rows) < upto - 8:
        prompt, length = writer.text(20, 60), writer.random.randint(2, 8)
        answers = [writer.text(20, 110) for _ in range(length)]
        closed = writer.random.random() < 0.5
        for better, worse in zip(answers, answers[1:] + answers[:1], strict=True):
            if closed:
                cyclic.add(len(rows))
            rows.append(
                (prompt, better, worse) if closed or worse != answers[0] else (prompt, worse, writer.text(20, 60))
            )
    return cyclic


def _plant_leaks(writer: Writer, rows: list[Row], n: int) -> tuple[list[dict[str, Any]], set[tuple[int, str]]]:
    instruction = writer.text(20, 20)
    items = [
        {"suite": "planted", "item": f"item-{at}", "text": f"{instruction} {writer.text(20, 60)}", "is_prompt": True}
        for at in range(400)
    ]
    leaked = set()
    for _ in range(n):
        item = writer.random.choice(items)
        words = item["text"].split()[20:]
        how = writer.random.choice(["leak", "leak", "short", "instruction"])
        length = min(writer.random.randint(13, 40), len(words)) if how == "leak" else 12
        start = writer.random.randrange(len(words) - length + 1)
        copied = instruction if how == "instruction" else writer.restyled(" ".join(words[start : start + length]))
        row = list(writer.row())
        part = writer.random.randrange(3)
        # strangers on both sides: nothing but the copied words may be the item's
        row[part] = f"{row[part]} strangerone {copied} strangertwo"
        if how == "leak":
            leaked.add((len(rows), item["item"]))
        rows.append((row[0], row[1], row[2]))
    return items, leaked


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--seed", type=int, default=20261126)
    parser.add_argument("--spark", help="the Spark master that looks for near-duplicates")
    arguments = parser.parse_args()
    planted = plant(Writer(arguments.seed), arguments.rows)
    columns = {name: pa.array([row[at] for row in planted.rows]) for at, name in enumerate(TEXTS)}
    n = len(planted.rows)
    texts = pa.table({"row": np.arange(n), **columns, "error": pa.nulls(n, pa.string())})
    speeds: dict[str, float] = {}
    signed = _timed(speeds, "signatures", n, lambda: signatures.compute(texts).append_column("row", texts["row"]))
    prints = _timed(speeds, "ngrams", n, lambda: ngrams.compute(texts).append_column("row", texts["row"]))
    with duckdb.connect() as connection:
        for name, table in (("texts", texts), ("signed", signed), ("prints", prints)):
            connection.register(name, table)
        if arguments.spark:
            found = _on_spark(arguments.spark, signed.drop_columns("row"), texts)
        else:
            found = _timed(speeds, "near", n, lambda: near.find(connection, "signed", "texts"))
        leaks = leakage.find(connection, "prints", "texts", pa.Table.from_pylist(planted.items))
    cycles = graph.judge(_edges(texts)).leaving
    counts = {kind: len(pairs) for kind, pairs in planted.pairs.items()}
    counts |= {"copies": len(planted.copies), "cyclic": len(planted.cyclic), "leaked": len(planted.leaked)}
    result = {"rows": n, "seed": arguments.seed, "planted": counts} | _judged(planted, found, leaks, cycles)
    print(json.dumps(result | {"candidates": found.candidates, "skipped": found.skipped, "rows_per_s": speeds}))


def _on_spark(master: str, signed: pa.Table, texts: pa.Table) -> near.Found:
    """Near-duplicates on Spark, of the same rows in shards of 10,000."""
    with tempfile.TemporaryDirectory() as name:
        apply_environment(Settings(home=Path(name) / "home"))  # pyright: ignore[reportCallIssue]
        shards = []
        for first in range(0, len(texts), 10_000):
            files = [Path(name) / f"{kind}-{first}" for kind in ("signatures", "rows")]
            for file, table in zip(files, (signed, texts), strict=True):
                pq.write_table(table.slice(first, 10_000), file)
            shards.append(Part(files[0], files[1], first, min(10_000, len(texts) - first), True))
        with open_spark(master, Path(name)) as engine:
            return engine.near(shards)


def _edges(texts: pa.Table) -> pa.Table:
    keys = [np.concatenate([hash_sequences(words_of(part[name])) for part in parts(texts)]) for name in TEXTS]
    named = dict(zip(("prompt", "better", "worse"), (key.view(np.int64) for key in keys), strict=True))
    nothing = {"time": pa.nulls(len(texts), pa.int64()), "annotator": pa.nulls(len(texts), pa.string())}
    return pa.table({"row": texts["row"], **named, **nothing})


def _judged(planted: Planted, found: near.Found, leaks: leakage.Leaks, cycles: pa.Table) -> dict[str, Any]:
    pairs = found.pairs.to_pylist()
    result: dict[str, Any] = {}
    at_threshold: dict[str, dict[str, float]] = {}
    for name, kind, side in (("near_duplicate", "duplicate", 0), ("contradiction", "contradiction", 1)):
        of_kind = {(one["a"], one["b"]) for one in pairs if one["relation"] == kind}
        right = sum(least(_folded(planted.rows[a]), _folded(planted.rows[b]))[side] >= 0.8 for a, b in of_kind)
        truth = planted.pairs[kind]
        result[name] = {"precision": right / max(len(of_kind), 1), "recall": len(of_kind & set(truth)) / len(truth)}
        close = {pair for pair, similarity in truth.items() if similarity < 0.82}
        at_threshold[name] = {"pairs": len(close), "recall": len(of_kind & close) / len(close)}
    copies = {(one["a"], one["b"]) for one in pairs if one["relation"] == "duplicate" and one["similarity"] == 1}
    result["exact_duplicate"] = _score(copies, planted.copies)
    cyclic = set(cycles["row"].to_pylist())
    swapped = {row for one in planted.pairs["contradiction"] for row in one}
    result["cycle"] = _score(
        cyclic - swapped, planted.cyclic
    )  # those swapped word by word are cycles of two: not counted
    result["leakage"] = _score({(one["row"], one["item"]) for one in leaks.rows.to_pylist()}, planted.leaked)
    return result | {"at_threshold": at_threshold}


def _folded(row: Row) -> Row:
    prompt, chosen, rejected = (" ".join(spell(text)) for text in row)
    return prompt, chosen, rejected


def _score(found: set[Any], truth: set[Any]) -> dict[str, float]:
    return {"precision": len(found & truth) / max(len(found), 1), "recall": len(found & truth) / len(truth)}


def _timed(speeds: dict[str, float], name: str, n: int, work: Any) -> Any:
    start = time.process_time()
    done = work()
    speeds[name] = round(n / (time.process_time() - start))
    return done


if __name__ == "__main__":
    main()
