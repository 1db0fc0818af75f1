"""The sample step in a flow: the pool is taken only for what was never asked, and a night's record says so."""

import json
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from prefect import flow
from prefect.runtime import flow_run

from infra.attempts import AttemptLog
from infra.digest import digest_of
from tasks import place
from tasks.contracts import Baselines, Model, Night, Shard, Snapshot
from tasks.data.kinds.documents import build_document
from tasks.data.rows import Built
from tasks.data.sample import Sampling
from tasks.data.sample_rows import questions_in
from tasks.data.sample_step import sample
from tasks.lm.base import base_model
from tasks.recipe import Recipe, load_recipe
from tests.unit.data.test_sample import PAIR, row, table_of

pytestmark = [pytest.mark.usefixtures("prefect_server"), pytest.mark.slow]

POLICY = b"""# Policy

## How long is the old order cold?

It is cold for 45 days.

## Who pays for the tea?

The dog pays.
"""
MORE = POLICY + b"\n## What does the big cup cost?\n\nIt costs 4 EUR.\n"


def questions(policy: bytes) -> list[Built]:
    return [one for one in build_document("policy.md", policy) if isinstance(one, Built)]


def snapshot(policy: bytes) -> Snapshot:
    table = table_of([row(PAIR, 1), *(row(one, line) for line, one in enumerate(questions(policy), 2))])
    file = place.home() / "rows.parquet"
    pq.write_table(table, file)
    blob = place.store().put_file(file, "application/vnd.apache.parquet")
    return Snapshot(shards=(Shard(rows=blob, n_rows=table.num_rows),), n_rows=table.num_rows, files=())


class World:
    def __init__(self, recipe: Path, home: Path) -> None:
        self.home, self.recipe = home, load_recipe(recipe)
        source = self.recipe.sources[0].model_copy(update={"path": "policy.md", "kind": "documents"})
        self.documents = self.recipe.model_copy(update={"sources": (source,)})
        pool = place.pool("local")
        self.base = base_model(self.recipe.model.source, place.ROOT, home, place.store(), pool, lambda event: None)

    def night(self, recipe: Recipe, found: Snapshot, number: int) -> tuple[Snapshot, list[dict[str, Any]]]:
        """What the step gives in a night of its own, and the night's attempts."""
        folder = self.home / "nights" / str(number)
        folder.mkdir(parents=True)

        @flow(name="sampling")
        def sampling(base: Model) -> Snapshot:
            night = Night(
                id=digest_of(number),
                name=f"night-{number}",
                folder=str(folder),
                flow_run=str(flow_run.get_id()),
                mlflow_run="",
                promotable=False,
            )
            return sample(night, recipe, found, base, Baselines(champion=None, anchor=None))

        return sampling(self.base), AttemptLog(folder / "attempts.jsonl").entries()


@pytest.fixture
def here(home: Path, tiny_recipe: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    # a model with random weights that always says the likeliest word never comes to an end
    monkeypatch.setattr("tasks.data.sample_step.SAMPLING", Sampling(temperature=1.0))
    return World(tiny_recipe, home)


def kept(home: Path) -> int:
    return sum(len(path.read_bytes().splitlines()) for path in home.glob("answers/*/*.jsonl"))


def test_documents_are_sampled_on_the_pool_and_tomorrow_only_what_is_new(here: World) -> None:
    today, attempts = here.night(here.documents, snapshot(POLICY), 1)
    rows = pq.read_table(place.store().open_path(today.shards[0].rows.digest_))
    assert questions_in(rows) == ([], [])
    pairs = [one for one in rows.to_pylist() if one["builder"] == "documents/closed-book"]
    assert len(pairs) == today.n_rows - 1 > 0
    for pair in pairs:
        citation = json.loads(pair["citation"])
        assert citation["source"] == "policy.md"
        assert citation["differs"]["reason"]
        assert pair["rejected_model"] == here.base.digest
    assert [one["step"] for one in attempts if one["event"] == "start"] == ["sample"]
    assert kept(here.home) == 2
    assert list((here.home / "work").glob("sample-*")) == []

    # the same again: the step's result is reused
    again, attempts = here.night(here.documents, snapshot(POLICY), 2)
    assert again == today
    assert [one["event"] for one in attempts] == ["reused"]

    # one question more: that one is asked
    before = {path: path.read_bytes() for path in here.home.glob("answers/*/*.jsonl")}
    here.night(here.documents, snapshot(MORE), 3)
    assert kept(here.home) == 3
    assert all(path.read_bytes() == data for path, data in before.items())


def test_without_documents_the_snapshot_passes_and_no_program_runs(
    here: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tasks.data.sample.run_program", lambda *_: pytest.fail("a program ran"))
    given = snapshot(POLICY)
    assert here.night(here.recipe, given, 1)[0] == given
    _, attempts = here.night(here.documents, snapshot(b"# No question\n\nNone.\n"), 2)
    start = next(one for one in attempts if one["event"] == "start")
    assert start["device"]["kind"] == "cpu"
