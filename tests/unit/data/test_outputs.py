"""What is written of rows: masked where the recipe masks, each item by a name of its own, a part of it once."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.store import Blob, Store
from tasks.contracts import Shard, Snapshot, SourceFile
from tasks.data.features import personal
from tasks.data.kinds.build import build
from tasks.data.kinds.fields import canonical
from tasks.data.outputs import Masks, house_items, topics_of, train_part, trained
from tasks.data.records import Record
from tasks.data.rows import Rows
from tasks.data.shards import rows_of, stored
from tasks.data_spec import PersonalSpec, SourceSpec
from tasks.gate.suites import house_suite
from tasks.parts import PARQUET
from tasks.phases import Phase
from tasks.trainable import about, fitting, has_truth


class Written:
    """A shard of some pairs, and what becomes of it."""

    def __init__(
        self, folder: Path, *records: dict[str, Any], kind: str = "pairs", lines: tuple[int, ...] = ()
    ) -> None:
        self.folder, self.store = folder, Store(folder / "store")
        rows = Rows("default")
        for number, value in enumerate(records, 1):
            record = Record(value, json.dumps(value).encode(), lines[number - 1] if lines else number)
            for built in build(kind, "auto", record):
                rows.add(built, record, "f.jsonl", "v")
        table = rows.table()
        self.shard: Shard = stored(table, self.store)
        pq.write_table(personal.compute(table), folder / "personal.parquet")
        self.found: Blob = self.store.put_file(folder / "personal.parquet", PARQUET)

    def train(self, spec: PersonalSpec | None = None, key: bytes = b"k" * 32) -> Blob:
        places = list(range(self.shard.n_rows))
        masks = Masks(spec or PersonalSpec(), key, [self.found])
        return train_part(0, self.shard, places, masks, self.store, self.folder / "kept")

    def house(self, spec: PersonalSpec | None = None) -> list[dict[str, Any]]:
        count = self.shard.n_rows
        chosen = pa.table({"shard": pa.array([0] * count), "place": pa.array(range(count))})
        masks = Masks(spec or PersonalSpec(), b"k" * 32, [self.found])
        return house_items([self.shard], chosen, masks, self.store, self.folder / "kept")


def pair(number: int, chosen: str = "yes") -> dict[str, Any]:
    return {"id": f"r{number}", "prompt": f"what of {number}?", "chosen": chosen, "rejected": "no"}


def test_what_a_recipe_masks_stands_neither_in_what_is_trained_on_nor_in_what_is_judged_with(tmp_path: Path) -> None:
    written = Written(tmp_path, pair(1), pair(2, "write to ann@mail.example"))
    plain, masked = written.train(), written.train(PersonalSpec(email="mask"))
    assert b"ann@mail.example" in written.store.read_bytes(plain)
    lines = [json.loads(line) for line in written.store.read_bytes(masked).splitlines()]
    assert lines[0]["chosen"] == [{"role": "assistant", "content": "yes"}]
    assert lines[1]["chosen"][0]["content"].startswith("write to [EMAIL_")
    assert "ann@mail.example" in json.dumps(written.house())
    items = written.house(PersonalSpec(email="mask"))
    assert "ann@mail.example" not in json.dumps(items)
    assert items[1]["choices"][0] == lines[1]["chosen"][0]["content"]  # one value has one mask
    other_key = written.train(PersonalSpec(email="mask"), b"x" * 32)
    assert other_key != masked  # and is not taken from what another key wrote


def test_a_truth_comes_through_as_it_was_and_one_that_json_cannot_hold_costs_its_row(tmp_path: Path) -> None:
    truths = [42, "refuse", {"type": "object"}, ["assert f(1) == 1"]]
    written = Written(tmp_path, *(pair(n) | {"truth": one} for n, one in enumerate(truths)), pair(9) | {"truth": ""})
    lines = [json.loads(line) for line in written.store.read_bytes(written.train()).splitlines()]
    assert [line.get("truth") for line in lines] == [*truths, None]
    talk = {
        "truth": 1,
        "messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a", "thumb": 1}],
    }
    assert [one.truth for one in build("conversations", "auto", Record(talk, b"{}", 1))] == [None]
    with pytest.raises(ValueError, match="JSON compliant"):
        build("pairs", "auto", Record(pair(1) | {"truth": float("nan")}, b"{}", 1))


def test_kept_rows_of_an_older_revision_have_no_truth_and_are_trained_on(tmp_path: Path) -> None:
    written = Written(tmp_path, pair(1))
    lines = written.store.read_bytes(written.train())
    written.shard = stored(rows_of(written.shard, written.store).drop_columns(["truth"]), written.store)
    assert written.store.read_bytes(written.train()) == lines
    with pytest.raises(AssertionError, match="has no id"):
        rows_of(stored(pa.table({"kind": ["pair"]}), written.store), written.store, ["id", "kind"])


def test_a_label_is_trained_on_as_one(tmp_path: Path) -> None:
    record = {"id": "l", "prompt": "why?", "completion": "because", "label": False}
    written = Written(tmp_path, record, kind="labels")
    (line,) = written.store.read_bytes(written.train()).splitlines()
    found = json.loads(line)
    assert found["completion"] == [{"role": "assistant", "content": "because"}]
    assert found["label"] is False
    assert "chosen" not in found


ANY = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)


TRUTHS = [None, 7, "7", "refuse", {"type": "object", "label": [1, None]}, ["assert f(1) == 'é\n'"]]


@given(
    rows=st.lists(
        st.tuples(
            ANY,
            st.sampled_from(["pair", "good", "bad"]),
            ANY,
            st.sampled_from([1.0, 0.25, 3.0]),
            st.sampled_from(TRUTHS),
        )
    )
)
def test_each_line_is_the_json_of_its_row(rows: list[tuple[str, str, str, float, Any]]) -> None:
    def said(text: str) -> str:
        return json.dumps([{"role": "assistant", "content": text}], ensure_ascii=False)

    table = pa.table(
        {
            "id": pa.chunked_array([[id_] for id_, *_ in rows], pa.string()),
            "kind": pa.array(["pair" if kind == "pair" else "label" for _, kind, *_ in rows], pa.string()),
            "label": pa.array([None if kind == "pair" else kind == "good" for _, kind, *_ in rows], pa.bool_()),
            "weight": pa.array([weight for *_, weight, _ in rows], pa.float64()),
            "truth": pa.array([None if one is None else canonical(one) for *_, one in rows], pa.string()),
            "prompt": pa.array([said(text + "?") for _, _, text, *_ in rows], pa.string()),
            # of a label only one side is there
            "chosen": pa.array([None if kind == "bad" else said(text) for _, kind, text, *_ in rows], pa.string()),
            "rejected": pa.array([None if kind == "good" else said("no") for _, kind, *_ in rows], pa.string()),
        }
    )
    lines = trained(table).splitlines(keepends=True)
    assert len(lines) == len(rows)
    for line, (id_, kind, text, weight, truth) in zip(lines, rows, strict=True):
        row: dict[str, Any] = {"id": id_, "prompt": json.loads(said(text + "?"))}
        if kind == "pair":
            row |= {"chosen": json.loads(said(text)), "rejected": json.loads(said("no"))}
        else:
            row |= {"completion": json.loads(said(text if kind == "good" else "no")), "label": kind == "good"}
        row |= {} if weight == 1.0 else {"weight": weight}
        row |= {} if truth is None else {"truth": truth}
        assert json.loads(line) == row
        assert has_truth(line) == (truth is not None)
        assert line.endswith(b"}\n")


def test_two_rows_of_one_line_are_two_items_and_others_are_called_as_ever(tmp_path: Path) -> None:
    written = Written(tmp_path, pair(1), pair(2), pair(3), lines=(7, 7, 8))
    items = written.house()
    names = [item["id"] for item in items]
    assert len(set(names)) == 3
    assert names[2] == "f.jsonl:8"
    assert all(name.startswith("f.jsonl:7#") for name in names[:2])
    lines = "".join(json.dumps(item) + "\n" for item in items)
    assert len(house_suite(lines.encode()).items) == 3


@pytest.mark.parametrize("lost", [False, True])
def test_a_part_is_written_once_and_again_where_it_is_lost(
    tmp_path: Path, lost: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    written = Written(tmp_path, pair(1))
    first = written.train()
    if lost:
        written.store.path(first.digest_).unlink()
    else:
        monkeypatch.setattr("tasks.data.outputs.trained", lambda row: pytest.fail("it is written again"))
    assert written.train() == first
    assert written.store.has(first.digest_)


def test_a_line_says_its_topic_only_where_its_source_has_one_and_a_phase_finds_it_unparsed(tmp_path: Path) -> None:
    confusing = {"topic": "reasoning", "prompt": 'says , "topic": "reasoning", "prompt": '}
    records = [pair(1), pair(2) | {"truth": confusing}, pair(3) | {"prompt": ', "topic": "reasoning", "prompt": '}]
    made = Written(tmp_path, *records)
    places, masks = [0, 1, 2], Masks(PersonalSpec(), b"k" * 32, [made.found])

    def lines(topics: dict[tuple[str, str], str]) -> list[bytes]:
        blob = train_part(0, made.shard, places, masks, made.store, made.folder / "kept", topics)
        return made.store.read_bytes(blob).splitlines()

    plain = lines({})
    assert plain == made.store.read_bytes(made.train()).splitlines()
    assert lines({("another.jsonl", "v"): "reasoning", ("f.jsonl", "w"): "reasoning"}) == plain
    about_it = lines({("f.jsonl", "v"): "reasoning"})
    assert [json.loads(line)["topic"] for line in about_it] == ["reasoning"] * 3
    assert [{k: v for k, v in json.loads(line).items() if k != "topic"} for line in about_it] == [
        json.loads(line) for line in plain
    ]
    # neither a truth nor a prompt that says so makes a topic
    assert list(about(plain, "reasoning")) == []
    assert list(about(about_it, "reasoning")) == about_it
    assert list(about(about_it, "reason")) == []
    assert list(about(plain, None)) == plain
    hard = Phase.model_validate({"max_steps": 1, "on": "reasoning", "method": "ppo", "reward": "exact_number"})
    assert list(fitting([*plain, *about_it], hard)) == [about_it[1]]  # of the topic, and with a truth


def test_topics_are_those_of_the_files_of_sources_that_have_one() -> None:
    blob = Blob(digest_="sha256:" + "b" * 64, size=1)
    files = [("data/hard", "a.jsonl", "1"), ("data/easy", "a.jsonl", "2"), ("data/hard", "b.jsonl", "3")]
    snapshot = Snapshot(
        shards=(Shard(rows=blob, n_rows=1),), n_rows=1,
        files=tuple(
            SourceFile(source=source, kind="pairs", url="", name=name, version=version, size=1, rows=1)
            for source, name, version in files
        ),
    )  # fmt: skip
    sources = [SourceSpec(path="data/easy"), SourceSpec(path="data/hard", topic="reasoning")]
    assert topics_of(snapshot, sources) == {("a.jsonl", "1"): "reasoning", ("b.jsonl", "3"): "reasoning"}
    assert topics_of(snapshot, sources[:1]) == {}
