"""A night's set checks and search for near-duplicates in DuckDB and on Spark in local mode, side by side in one run.

    python benchmarks/spark.py TOKENIZER [--rows 20000,100000,300000] [--master local[2]] [--keep FOLDER]

TOKENIZER is a folder of a model's tokenizer and chat template. Rows are made from a seed (`validate_rows.py`), about
1 KB each; of each hundred one comes again with a word more in each part, and of each two hundred one with answers
swapped as well. They are collected and measured once; a smaller size is the first shards of the largest. Then, for each
size and engine, in a process of its own: `start` (open the session), `near` (all rows among themselves), `flag` (set
checks and profile) and `next` (near pairs of the last shard with all rows before it), each in seconds of the clock and
of processor time, children's too, and the peak resident memory of the process and all its children, looked at twenty
times a second. The engines' flags are compared, and near pairs that only one of them finds are counted. The last line
is one JSON object.
"""

import argparse
import itertools
import json
import os
import random
import shutil
import sys
import tempfile
import time
from bisect import bisect_left
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import psutil
import pyarrow as pa
import pyarrow.parquet as pq

from benchmarks.validate import Figures, apart
from benchmarks.validate_rows import write_pairs

ENGINES = ("duckdb", "spark")


def write_rows(path: Path, count: int, seed: int) -> dict[str, int]:
    """``write_pairs``, and among its lines such as are near to one shortly before; how many of each kind."""
    pick = random.Random(seed)
    planted = write_pairs(path, count, seed) | {"near": 0, "near_swapped": 0}
    whole = path.with_suffix(".whole")
    with path.open() as lines, whole.open("w") as file:
        for number, line in enumerate(lines):
            file.write(line)
            if number % 100 == pick.randrange(100) and line.endswith("}\n"):
                swapped = pick.random() < 1 / 3
                file.write(json.dumps(_near(json.loads(line), number, swapped)) + "\n")
                planted["near_swapped" if swapped else "near"] += 1
    whole.replace(path)
    return planted


def _near(row: dict[str, Any], number: int, swapped: bool) -> dict[str, Any]:
    def more(part: str) -> list[dict[str, str]]:
        return [{**row[part][0], "content": f"{row[part][0]['content']} indeed"}]

    answers = [more("chosen"), more("rejected")]
    chosen, rejected = reversed(answers) if swapped else answers
    return {**row, "id": f"near-{number}", "prompt": more("prompt"), "chosen": chosen, "rejected": rejected}


def prepared(folder: str, tokenizer: str) -> Figures:
    """Collect FOLDER/source and compute every feature; notes the snapshot and where the features lie."""
    from infra.settings import load_settings
    from infra.store import Store
    from tasks.data.collect import Place, make_snapshot
    from tasks.data.forget import Forgotten
    from tasks.data.measure import measure
    from tasks.data.validate import OF_FACTS, OF_TEXTS
    from tasks.data_spec import DataSpec, SourceSpec

    root, data = Path(folder), DataSpec()
    place = Place(root, root / "kept", Store(root / "store"), load_settings(), "default")
    snapshot = make_snapshot((SourceSpec(path="source"),), place, data.caps, Forgotten(()))
    bounds = (data.max_prompt_tokens, data.max_answer_tokens)
    given = {"personal": (data.personal.regions,), "tokens": (Path(tokenizer), *bounds)}
    features = {
        name: measure(name, snapshot.shards, given.get(name, ()), "benchmark", place.store, place.kept)
        for name in (*OF_FACTS, *OF_TEXTS)
    }
    noted = {name: [blob.model_dump() for blob in blobs] for name, blobs in features.items()}
    (root / "prepared.json").write_text(json.dumps({"snapshot": snapshot.model_dump_json(), "features": noted}))
    return {"rows": snapshot.n_rows}


def checked(folder: str, shards: int, master: str | None) -> Figures:
    """The set checks and near search of the first so many shards; what was found is left beside."""
    from infra.store import Blob, Store
    from tasks.contracts import Snapshot
    from tasks.data.checks import CHECKS, PERSONAL, Limits
    from tasks.data.facts import facts_of
    from tasks.data.near import leaving
    from tasks.data.session import open_session
    from tasks.data.validate import OF_FACTS, OF_TEXTS
    from tasks.data_spec import DataSpec

    root, data = Path(folder), DataSpec()
    noted = json.loads((root / "prepared.json").read_text())
    some = Snapshot.model_validate_json(noted["snapshot"]).shards[:shards]
    features = {name: [Blob(**one) for one in blobs] for name, blobs in noted["features"].items()}
    limits = Limits(
        max_prompt_tokens=data.max_prompt_tokens,
        max_answer_tokens=data.max_answer_tokens,
        min_answer_tokens=data.min_answer_tokens,
        personal=(*PERSONAL, "secret"),
    )
    store = Store(root / "store")
    with tempfile.TemporaryDirectory(dir=root) as name:
        facts = facts_of(some, {one: features[one] for one in OF_FACTS}, store, Path(name))
        clock = _Clock()
        texts = {one: features[one] for one in OF_TEXTS}
        with open_session(facts, Path(name), some, texts, limits, store, master) as session:
            clock.done("start")
            found = session.near(range(shards), [])
            clock.done("near")
            session.flag(_marks(leaving(found.pairs)), [])
            clock.done("flag")
            columns = [session.of_shard(number).select(["row", "fails", *CHECKS]) for number in range(shards)]
            clock.done()
            session.near([shards - 1], range(shards - 1))
            clock.done("next")
    left = root / ("duckdb" if master is None else "spark")
    pq.write_table(pa.concat_tables(columns), f"{left}-flags.parquet")
    pq.write_table(found.pairs, f"{left}-pairs.parquet")
    figures = {"seconds": clock.seconds, "busy_seconds": clock.busy, "pairs": len(found.pairs)}
    return figures | {"candidates": found.candidates, "skipped": found.skipped}


class _Clock:
    """Seconds of the clock, and of processors that this process and its children kept busy."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.busy: dict[str, float] = {}
        self._last = self._now()

    def done(self, name: str | None = None) -> None:
        now = self._now()
        if name is not None:
            self.seconds[name], self.busy[name] = (round(x - y, 1) for x, y in zip(now, self._last, strict=True))
        self._last = now

    def _now(self) -> tuple[float, float]:
        root = psutil.Process()
        return time.perf_counter(), sum(sum(one.cpu_times()[:4]) for one in (root, *root.children(recursive=True)))


def _marks(left: list[Any]) -> pa.Table:
    from tasks.data.findings import MARKS

    marks = {"near_duplicate": "duplicate", "near_contradiction": "contradiction"}
    columns = {name: pa.array([one.reason == marks.get(name) for one in left], pa.bool_()) for name in MARKS}
    return pa.table({"row": pa.array([one.row for one in left], pa.int64()), **columns})


def compared(folder: Path) -> Figures:
    """What both engines left: are the flags equal, which pairs has only one of them?"""
    flags = [pq.read_table(folder / f"{engine}-flags.parquet") for engine in ENGINES]
    here, there = (
        {(one["a"], one["b"], one["relation"], one["similarity"]) for one in pairs.to_pylist()}
        for pairs in (pq.read_table(folder / f"{engine}-pairs.parquet") for engine in ENGINES)
    )
    return {
        "flags_equal": flags[0].equals(flags[1]),
        "pairs_both": len(here & there),
        "pairs_duckdb_only": len(here - there),
        "pairs_spark_only": len(there - here),
    }


def measured(folder: Path, options: argparse.Namespace) -> Figures:
    from infra.settings import Settings, apply_environment
    from tasks.contracts import Snapshot

    apply_environment(Settings(home=folder / "home"))  # pyright: ignore[reportCallIssue]
    sizes = [int(one) for one in options.rows.split(",")]
    if not (folder / "prepared.json").exists():
        source = folder / "source" / "rows.jsonl"
        source.parent.mkdir(parents=True)
        print("planted:", write_rows(source, max(sizes), seed=1), flush=True)
        an_hour_ago = time.time() - 3600  # an export that nobody is writing any more: it may be read in parts
        os.utime(source, (an_hour_ago, an_hour_ago))
        print("prepared:", apart(prepared, str(folder), str(options.tokenizer.resolve())), flush=True)
    snapshot = Snapshot.model_validate_json(json.loads((folder / "prepared.json").read_text())["snapshot"])
    upto = list(itertools.accumulate(shard.n_rows for shard in snapshot.shards))
    found = []
    for size in sizes:
        shards = min(bisect_left(upto, size) + 1, len(upto))
        one: Figures = {"rows": upto[shards - 1], "shards": shards}
        for engine, master in zip(ENGINES, (None, options.master), strict=True):
            one[engine] = apart(checked, str(folder), shards, master)
            print(size, engine, one[engine], flush=True)
        found.append(one | compared(folder))
    return {"master": options.master, "sizes": found, "cores": os.cpu_count()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--rows", default="20000,100000,300000")
    parser.add_argument("--master", default="local[2]")
    parser.add_argument(
        "--keep", type=Path, help="work here, and leave everything; rows that are prepared there are used again"
    )
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="spark-"))
    try:
        figures = measured(folder, options)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
