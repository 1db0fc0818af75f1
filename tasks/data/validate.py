"""validate: flag rows, quarantine what fails, judge the profile, split what passes into training pairs and house."""

import shutil
import tempfile
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import ibis
import pyarrow as pa

from infra.digest import Digest, digest_file, digest_of
from infra.jsonl import dump_lines
from infra.store import Blob, Store, Tree
from tasks.contracts import Preferences, Snapshot
from tasks.data.accepted import accept, baseline
from tasks.data.checks import Limits
from tasks.data.facts import facts_of
from tasks.data.findings import Findings, find
from tasks.data.judge_profile import imported, judge_profile, site_folder, stop_on_breach
from tasks.data.keys import below, prompt_key
from tasks.data.measure import measure
from tasks.data.outputs import Masks, Topics, held_prompts, house_items, quarantine_part, train_part
from tasks.data.page import data_page
from tasks.data.page_records import DataReport
from tasks.data.page_words import silent
from tasks.data.personal.policy import kinds_with, mask_key
from tasks.data.served import read_served
from tasks.data.session import Session, open_session
from tasks.data.spark.engine import require
from tasks.data.told import Judged, Looked, look, sample, told
from tasks.data.workers import aside
from tasks.data_spec import DataSpec
from tasks.parts import LINES, joined

_HEAVY_ROWS = 20_000  # fewer are judged in this process: another one takes a second to start, and more to be ready
_HUGE_ROWS = 3_000_000  # of more, too: its half GB beside a full DuckDB is more than 2, and its five seconds are few


class Where(NamedTuple):
    """Where validate works, and for whom.

    Attributes:
        kept: folder of what earlier nights computed.
        failed: folder where quarantine, report and Data Docs are left when the night stops here.
        spark: master of the Spark that set checks and near-duplicates run on; None: DuckDB in this process.
        topics: of the sources that have one.
    """

    store: Store
    kept: Path
    failed: Path
    night: str
    recipe: str
    spark: str | None = None
    topics: Topics = MappingProxyType({})


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
        EngineError: Spark is asked for, and is missing, doesn't start or fails.
    """
    require(where.spark)
    store, shards = where.store, snapshot.shards
    # a cluster's machines share HOME and not this one's /tmp; a killed night's goes when its folder does
    place = where.failed if where.spark else None
    with (
        aside(imported, heavy=_HEAVY_ROWS < snapshot.n_rows <= _HUGE_ROWS) as later,
        tempfile.TemporaryDirectory(dir=place) as name,
    ):
        folder = Path(name)
        features = _features(snapshot, data, tokenizer, where)
        facts = facts_of(shards, {one: features[one] for one in OF_FACTS}, store, where.kept)
        texts = {one: features[one] for one in OF_TEXTS}
        with open_session(facts, folder, shards, texts, _limits(data), store, where.spark) as session:
            before = baseline(where.kept, where.recipe, snapshot)
            served = None if snapshot.served is None else read_served(snapshot.served, store)
            against = (before and before.marginals, served and served.marginals)
            # most of these will pass: who has looked at them knows what the look at those that did will ask
            some = sample(session, shards, store)
            later(look, some, *against)
            found = _found(session, snapshot, data, guarded, max_house, where)
            profile = session.flag(found.marks, [prompt_key(one["text"]) for one in guarded if one["is_prompt"]])
            looked = later(look, session.passed(some), *against)()
            figures = profile | _figures(found, looked)
            findings_ = later(judge_profile, figures, data.max_quarantined, folder / "docs")
            quarantine = _quarantine(snapshot, session, where)
            masks = Masks(data.personal, mask_key(where.kept), features["personal"])
            house, n_house, n_held_out = _house(snapshot, session, data.holdout, max_house, masks, where)
            train, n_train = _train(snapshot, session, data.holdout, masks, where)
            findings = findings_()
            docs = store.put_tree(site_folder(folder / "docs"))
            judged = Judged(tuple(findings), looked, found, before, served, n_house)
            report = told(session, snapshot, data, judged, where.night, where.recipe, store)
    page = store.put_bytes(data_page(report).encode(), "text/html")
    leave_for_reading(where.failed, store, docs, quarantine, page)
    warnings = stop_on_breach(findings)
    accept(where.kept, where.recipe, snapshot, looked.marginals)
    return Preferences(
        train=train,
        house=house,
        quarantine=quarantine,
        profile=store.put_json(figures),
        data_docs=docs,
        page=page,
        n_train=n_train,
        n_house=n_house,
        n_held_out=n_held_out,
        n_quarantined=report.quarantined,
        warnings=(*warnings, *_told(looked, found), *_not_asked(report), *silent(report.sources)),
    )


OF_FACTS, OF_TEXTS = ("rows", "personal", "tokens"), ("signatures", "ngrams")


def _features(snapshot: Snapshot, data: DataSpec, tokenizer: Path, where: Where) -> dict[str, list[Blob]]:
    """Every feature of every shard, those that are new computed now."""
    bounds = [data.max_prompt_tokens, data.max_answer_tokens]
    given: dict[str, tuple[tuple[Any, ...], object]] = {
        "personal": ((data.personal.regions,), data.personal.regions),
        "tokens": ((tokenizer, *bounds), [tokenizer_digest(tokenizer), *bounds]),
    }
    return {
        name: measure(name, snapshot.shards, *given.get(name, ((), None)), where.store, where.kept)
        for name in (*OF_FACTS, *OF_TEXTS)
    }


def _found(
    session: Session, snapshot: Snapshot, data: DataSpec, guarded: list[dict[str, Any]], max_house: int, where: Where
) -> Findings:
    """What rows are in the light of each other, of the gate's items and of those that the house suite will have."""
    held = session.house(below(data.holdout), max_house)
    prompts = held_prompts(snapshot.shards, held, where.store, where.kept)
    items = _items(guarded, held["row"].to_pylist(), prompts)
    near_pairs = where.kept / "near" / where.recipe
    return find(session, snapshot.shards, items, below(data.holdout), where.store, near_pairs)


def _told(looked: Looked, found: Findings) -> list[str]:
    """What Great Expectations has no words for."""
    said = [one.says for one in looked.bias if one.warns]
    said += [one.says for one in looked.drift if one.level == "large"]
    said += [f"Against what is asked in service: {one.says}" for one in looked.from_served if one.level == "large"]
    if found.leaked_items:
        worst = found.leaked_items[0]
        said.append(
            f"{len(found.leaked_items)} item(s) of the gate stand in training rows, the most in {worst['rows']}: "
            f"{worst['suite']} {worst['item']}; their rows are in quarantine"
        )
    return said


def _not_asked(report: DataReport) -> list[str]:
    """Where the step `sample` did not run (a plan): what it would add is in none of the figures."""
    waiting = sum(flow.rows for flow in report.flows if flow.kind == "document")
    if not waiting:
        return []
    return [
        f"{waiting} question(s) of documents are not counted: a night asks the serving model first, and those that it "
        "answers otherwise become pairs"
    ]


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


def _items(guarded: list[dict[str, Any]], rows: list[int], prompts: list[str]) -> pa.Table:
    """Texts of the gate's items, and of those that the house suite will have."""
    # of held-out rows the prompts alone: a canned answer stands in many rows, and gives no item away
    house = zip(rows, prompts, strict=True)
    held = [{"suite": "house", "item": str(row), "text": prompt, "is_prompt": False} for row, prompt in house]
    columns = {name: pa.array([one[name] for one in (*guarded, *held)], kind) for name, kind in _ITEMS.items()}
    return pa.table(columns)


_ITEMS = {"suite": pa.string(), "item": pa.string(), "text": pa.string(), "is_prompt": pa.bool_()}


def _figures(found: Findings, looked: Looked) -> dict[str, Any]:
    """What findings and a look at a sample add to the profile."""
    alpha = found.agreement.alpha
    return {
        # agreement of nobody with nobody is full: it warns of nothing
        "annotator_agreement": 1.0 if alpha is None else alpha,
        "leaked_items": len(found.leaked_items),
        "near_comparisons_skipped": found.skipped,
        "bias_warnings": sum(one.warns for one in looked.bias),
        "drift_large": sum(one.level == "large" for one in (*looked.drift, *looked.from_served)),
    }


def _quarantine(snapshot: Snapshot, session: Session, where: Where) -> Blob:
    """All failing rows of all shards, in one file."""
    with tempfile.NamedTemporaryFile(suffix=".jsonl") as file:
        for number, shard in enumerate(snapshot.shards):
            part = quarantine_part(shard, session.of_shard(number, failing=True), where.store, where.kept)
            with where.store.open_path(part.digest_).open("rb") as lines:
                shutil.copyfileobj(lines, file)
        file.flush()
        return where.store.put_file(Path(file.name), LINES)


def _train(snapshot: Snapshot, session: Session, holdout: float, masks: Masks, where: Where) -> tuple[Blob, int]:
    """What passed and isn't held out, by the prompts' keys within a shard: no cut takes a source's side."""
    parts, count, first = [], 0, below(holdout)
    for number, shard in enumerate(snapshot.shards):
        places = session.to_train(number, first)
        count += len(places)
        parts.append(train_part(number, shard, places, masks, where.store, where.kept, where.topics))
    return joined(parts, where.store), count


def _house(
    snapshot: Snapshot, session: Session, holdout: float, max_house: int, masks: Masks, where: Where
) -> tuple[Blob, int, int]:
    """Held-out pairs, those with the lowest keys first: a prompt never changes sides, tonight or any other night."""
    flagged: Any = session.flagged
    held = flagged.filter(
        ~flagged.fails & (flagged.kind == "pair") & (flagged.prompt_key < ibis.literal(below(holdout), "int64"))
    )
    chosen = held.order_by(["prompt_key", "row"]).limit(max_house).select("shard", "place").to_pyarrow()
    items = house_items(snapshot.shards, chosen, masks, where.store, where.kept)
    count = int(held.count().to_pyarrow().as_py())
    return where.store.put_bytes(dump_lines(items), LINES), len(items), count


def leave_for_reading(folder: Path, store: Store, docs: Tree, quarantine: Blob, page: Blob) -> None:
    """Lay quarantine, report and Data Docs beside the night, also (and above all) when it stops here."""
    store.checkout(docs, folder / "data_docs")
    for blob, name in ((quarantine, "quarantine.jsonl"), (page, "data.html")):
        shutil.copyfile(store.open_path(blob.digest_), folder / name)
