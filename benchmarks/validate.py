"""A night's data from JSONL to preferences: time, memory, what an increment costs, and Great Expectations beside it.

    python benchmarks/validate.py TOKENIZER [--rows 1000000] [--increment 10000] [--same 100000] [--keep FOLDER]

TOKENIZER is a folder of a model's tokenizer and chat template. Rows are made from a seed (`validate_rows.py`), about
1 KB each. Every part runs in a process of its own; memory is the resident size of it and all its children, looked at
twenty times a second. `seconds` is collect and validate with every check, signatures, quarantine, snapshot, report and
Data Docs, less the tokenizer pass and the personal-data detector, which are timed apart (`token_rows_per_s`,
`detector_rows_per_s`). `increment_seconds` is what a night's new rows cost beyond reading them: validation as nights do
it, with detector and tokenizer pass of the new rows. `ratio` is of rows a second under the same row rules, ours over a
plain Great Expectations suite over pandas, and `rss_ratio` ours of its memory, both in this run. The last line is one
JSON object.
"""

import argparse
import json
import multiprocessing
import os
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, cast

import psutil

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from benchmarks.validate_rows import write_pairs

Figures = dict[str, Any]


def apart(function: Callable[..., Figures], *given: Any) -> Figures:
    """Run in a process of its own: its figures, with the peak memory of it and its children (GB)."""
    context = multiprocessing.get_context("spawn")
    queue = context.Queue()
    process = context.Process(target=_tell, args=(queue, function, given))
    process.start()
    peak, done = [0.0], threading.Event()
    watch = threading.Thread(target=_watch, args=(process.pid, peak, done))
    watch.start()
    found = queue.get()
    process.join()
    done.set()
    watch.join()
    if isinstance(found, str):
        raise SystemExit(found)
    return found | {"peak_rss_gb": round(peak[0] / 1e9, 3)}


def _tell(queue: Any, function: Callable[..., Figures], given: tuple[Any, ...]) -> None:
    try:
        queue.put(function(*given))
    except BaseException as error:  # noqa: BLE001  it is raised where the figures are waited for
        queue.put(f"{function.__name__}: {error!r}")


def _watch(pid: int, peak: list[float], done: threading.Event) -> None:
    while not done.wait(0.05):
        total = 0
        try:
            root = psutil.Process(pid)
            for one in (root, *root.children(recursive=True)):
                total += one.memory_info().rss
        except psutil.Error:
            continue
        peak[0] = max(peak[0], total)


def night(folder: str, tokenizer: str, timed_apart: bool) -> Figures:
    """Collect and validate FOLDER/source, as a night does; a second night finds what the first computed.

    Args:
        timed_apart: detector and tokenizer pass are run before the rest, else where nights run them.
    """
    from infra.settings import load_settings
    from infra.store import Store
    from tasks.data.collect import Place, make_snapshot
    from tasks.data.forget import read_forgotten
    from tasks.data.measure import measure
    from tasks.data.validate import Where, make_preferences, tokenizer_digest
    from tasks.data_spec import DataSpec, SourceSpec

    root, store = Path(folder), Store(Path(folder) / "store")
    data, settings = DataSpec(), load_settings()
    place = Place(root, root / "kept", store, settings, "default")
    begun = time.perf_counter()
    sources = (SourceSpec(path="source"),)
    snapshot = make_snapshot(sources, place, data.caps, read_forgotten(place.kept))
    collected = time.perf_counter()
    regions, bounds = data.personal.regions, [data.max_prompt_tokens, data.max_answer_tokens]
    if timed_apart:
        measure("personal", snapshot.shards, (regions,), regions, store, place.kept)
    detected = time.perf_counter()
    if timed_apart:
        identity = [tokenizer_digest(Path(tokenizer)), *bounds]
        measure("tokens", snapshot.shards, (Path(tokenizer), *bounds), identity, store, place.kept)
    counted = time.perf_counter()
    where = Where(store, place.kept, root / "night", "benchmark", "benchmark")
    where.failed.mkdir(exist_ok=True)
    found = make_preferences(snapshot, data, Path(tokenizer), [], 1000, where)
    ended = time.perf_counter()
    return {
        "rows": snapshot.n_rows,
        "collect": collected - begun,
        "detector": detected - collected,
        "tokens": counted - detected,
        "validate": ended - counted,
        "quarantined": found.n_quarantined,
        "train": found.n_train,
        "held_out": found.n_held_out,
    }


def same_rules(folder: str) -> Figures:
    """Our row rules over the shards: texts in, one boolean a rule and row out."""
    from infra.store import Store
    from tasks.data.measure import measure

    root, begun = Path(folder), time.perf_counter()
    measure("rows", _snapshot(root).shards, (), None, Store(root / "store"), root / "kept")
    return {"seconds": time.perf_counter() - begun}


def great_expectations(folder: str) -> Figures:
    """The same rules as a plain suite over a pandas frame of the same shards; importing it is not counted."""
    import great_expectations as gx
    import great_expectations.expectations as gxe
    import pandas as pd

    from infra.store import Store
    from tasks.data.checks import CONTROL, ROLES, TEMPLATE
    from tasks.data.features.rows import COLUMNS

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}  # pyright: ignore[reportAttributeAccessIssue]
    texts, expect = ("prompt_text", "chosen_text", "rejected_text"), cast(Any, gxe)
    rules = [
        expect.ExpectColumnValuesToBeNull(column="error"),
        expect.ExpectColumnValuesToMatchRegex(column="roles", regex=ROLES["pair"]),
        *(expect.ExpectColumnValuesToMatchRegex(column=name, regex=r"\S") for name in texts),
        expect.ExpectSelectColumnValuesToBeUniqueWithinRecord(column_list=["chosen_key", "rejected_key"]),
        expect.ExpectColumnValuesToBeDateutilParseable(column="timestamp"),
        *(expect.ExpectColumnValuesToNotMatchRegex(column=name, regex=TEMPLATE) for name in texts),
        *(expect.ExpectColumnValuesToNotMatchRegex(column=name, regex=CONTROL) for name in texts),
    ]
    suite = context.suites.add(gx.ExpectationSuite(name="rows", expectations=rules))
    asset = context.data_sources.add_pandas("rows").add_dataframe_asset("rows")
    batch = asset.add_batch_definition_whole_dataframe("whole")
    begun = time.perf_counter()
    store = Store(Path(folder) / "store")
    paths = [store.path(shard.rows.digest_) for shard in _snapshot(Path(folder)).shards]
    frame = pd.concat([pd.read_parquet(path, columns=[*COLUMNS, "line"]) for path in paths], ignore_index=True)
    result = batch.get_batch(batch_parameters={"dataframe": frame}).validate(
        suite, result_format={"result_format": "COMPLETE", "unexpected_index_column_names": ["line"]}
    )
    errors = [one for one in result.results if _raised(one.exception_info or {})]
    if errors:
        raise SystemExit(f"Great Expectations could not compute {len(errors)} of the rules: {errors[0].exception_info}")
    return {"seconds": time.perf_counter() - begun}


def _raised(info: dict[str, Any]) -> bool:
    details = [info] if "raised_exception" in info else list(info.values())
    return any(one.get("raised_exception") for one in details)


def _snapshot(folder: Path) -> Any:
    from tasks.contracts import Snapshot

    return Snapshot.model_validate_json((folder / "snapshot.json").read_text())


def collected(folder: str) -> Figures:
    """Collect alone, and note the snapshot."""
    from infra.settings import load_settings
    from infra.store import Store
    from tasks.data.collect import Place, make_snapshot
    from tasks.data.forget import Forgotten
    from tasks.data_spec import Caps, SourceSpec

    root = Path(folder)
    place = Place(root, root / "kept", Store(root / "store"), load_settings(), "default")
    snapshot = make_snapshot((SourceSpec(path="source"),), place, Caps(), Forgotten(()))
    (root / "snapshot.json").write_text(snapshot.model_dump_json())
    return {"rows": snapshot.n_rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tokenizer", type=Path)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--increment", type=int, default=10_000)
    parser.add_argument("--same", type=int, default=100_000)
    parser.add_argument("--keep", type=Path, help="work here, and leave everything")
    options = parser.parse_args()
    folder = options.keep or Path(tempfile.mkdtemp(prefix="validate-"))
    try:
        figures = measured(folder, options)
    finally:
        if options.keep is None:
            shutil.rmtree(folder)
    print(json.dumps(figures))


def measured(folder: Path, options: argparse.Namespace) -> Figures:
    source, tokenizer = folder / "source", str(options.tokenizer.resolve())
    source.mkdir(parents=True)
    parts = os.cpu_count() or 1
    print("planted:", write_pairs(source / "day-0.jsonl", options.rows, seed=1))
    an_hour_ago = time.time() - 3600  # an export that nobody is writing any more: it may be read in parts
    os.utime(source / "day-0.jsonl", (an_hour_ago, an_hour_ago))
    whole = apart(night, str(folder), tokenizer, True)
    print("first night:", whole)
    write_pairs(source / "day-1.jsonl", options.increment, seed=1, first=options.rows)
    more = apart(night, str(folder), tokenizer, False)
    print("next night:", more)
    same = folder / "same"
    (same / "source").mkdir(parents=True)
    write_pairs(same / "source" / "rows.jsonl", options.same, seed=2)
    apart(collected, str(same))
    ours, theirs = apart(same_rules, str(same)), apart(great_expectations, str(same))
    print("same rules, ours:", ours)
    print("same rules, Great Expectations over pandas:", theirs)
    seconds = whole["collect"] + whole["validate"]
    return {
        "rows": whole["rows"],
        "seconds": round(seconds, 1),
        "rows_per_s": round(whole["rows"] / seconds),
        "peak_rss_gb": whole["peak_rss_gb"],
        "token_rows_per_s": round(whole["rows"] / whole["tokens"]),
        "detector_rows_per_s": round(whole["rows"] / whole["detector"]),
        "same_rules_rows_per_s": round(options.same / ours["seconds"]),
        "gx_pandas_rows_per_s": round(options.same / theirs["seconds"]),
        "ratio": round(theirs["seconds"] / ours["seconds"], 2),
        "rss_ratio": round(ours["peak_rss_gb"] / theirs["peak_rss_gb"], 3),
        "increment_rows": options.increment,
        "increment_seconds": round(more["validate"], 1),
        "increment_reading_seconds": round(more["collect"], 1),
        "cores": parts,
    }


if __name__ == "__main__":
    main()
