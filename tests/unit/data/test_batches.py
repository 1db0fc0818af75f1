"""Tomorrow's night reads what is new or changed, keeps what it had, and leaves out what was to be forgotten."""

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from infra.store import Store
from tasks.contracts import Snapshot
from tasks.data import collect
from tasks.data.batches import batches_file
from tasks.data.collect import fingerprint
from tasks.data.forget import ask_to_forget, forgotten_file, read_forgotten
from tasks.data.lineage import ids_in, origins, reasons_of
from tasks.data.reading import Group, Read, read_group
from tasks.data_spec import SourceSpec
from tasks.errors import SourceError
from tasks.parts import lines_of
from tests.data_place import place_in, snapshot_of


def pairs(*ids: str, tenant: str | None = None) -> str:
    more = {"tenant": tenant} if tenant else {}
    rows = ({"id": one, "prompt": f"what of {one}?", "chosen": "yes", "rejected": "no", **more} for one in ids)
    return "".join(json.dumps(row) + "\n" for row in rows)


class Days:
    """A folder of exports, read night by night; ``read`` names the objects that a night opened."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.exports = folder, folder / "exports"
        self.exports.mkdir()
        self.store = Store(folder / "store")
        self.read: list[str] = []

        def noted(group: Group) -> Read:
            self.read += [one.name for one in group.objects]
            return read_group(group)

        monkeypatch.setattr(collect, "read_group", noted)

    def night(self, keep: bool = False) -> Snapshot:
        self.read.clear()
        return snapshot_of([SourceSpec(path="exports", keep=keep)], self.folder, self.store)

    def rows(self, snapshot: Snapshot) -> list[dict[str, Any]]:
        tables = (pq.read_table(self.store.open_path(shard.rows.digest_)) for shard in snapshot.shards)
        return [row for table in tables for row in table.to_pylist()]

    def ids(self, snapshot: Snapshot) -> list[str]:
        return [row["id"] for row in self.rows(snapshot)]


@pytest.fixture
def days(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Days:
    return Days(tmp_path, monkeypatch)


def test_the_next_night_reads_new_objects_only_and_has_all_rows_the_older_first(days: Days) -> None:
    (days.exports / "b.jsonl").write_text(pairs("b1", "b2"))
    assert days.ids(days.night()) == ["b1", "b2"]
    (days.exports / "a.jsonl").write_text(pairs("a1"))
    again = days.night()
    assert days.read == ["a.jsonl"]
    assert days.ids(again) == ["b1", "b2", "a1"]
    assert [(one.name, one.rows) for one in again.files] == [("b.jsonl", 2), ("a.jsonl", 1)]
    assert days.night() == again
    assert days.read == []


def test_a_changed_object_is_read_anew_and_its_old_rows_are_gone(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a1"))
    days.night()
    (days.exports / "b.jsonl").write_text(pairs("b1"))
    days.night()
    (days.exports / "a.jsonl").write_text(pairs("a1", "a2"))
    assert sorted(days.ids(days.night())) == ["a1", "a2", "b1"]
    assert days.read == ["a.jsonl"]


def test_rows_of_objects_that_are_gone_go_too_unless_the_source_is_a_rolling_export(days: Days) -> None:
    for keep in (False, True):
        (days.exports / "old.jsonl").write_text(pairs("old"))
        days.night(keep)
        (days.exports / "old.jsonl").unlink()
        (days.exports / "new.jsonl").write_text(pairs("new"))
        assert sorted(days.ids(days.night(keep))) == (["new", "old"] if keep else ["new"])
        (days.exports / "new.jsonl").unlink()
        batches_file(days.folder / "kept", SourceSpec(path="exports", keep=keep), "default").unlink()


def test_rows_of_a_rolling_export_outlive_a_new_version_of_the_code_that_read_them(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    (days.exports / "old.jsonl").write_text(pairs("old"))
    days.night(keep=True)
    (days.exports / "old.jsonl").unlink()
    (days.exports / "new.jsonl").write_text(pairs("new"))
    monkeypatch.setattr(collect, "importer_revision", lambda caps: "sha256:" + "1" * 64)
    assert sorted(days.ids(days.night(keep=True))) == ["new", "old"]
    assert days.read == ["new.jsonl"]


def test_another_version_of_the_code_reads_everything_anew(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a"))
    days.night()
    monkeypatch.setattr(collect, "importer_revision", lambda caps: "sha256:" + "1" * 64)
    days.night()
    assert days.read == ["a.jsonl"]


def test_an_object_of_the_store_that_is_lost_is_made_again(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a"))
    first = days.night()
    days.store.path(first.shards[0].rows.digest_).unlink()
    assert days.night() == first
    assert days.read == ["a.jsonl"]


def test_many_small_objects_lie_in_few_shards_and_many_rows_in_several(
    days: Days, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(40):
        (days.exports / f"{number:02}.jsonl").write_text(pairs(f"r{number}"))
    assert len(days.night().shards) == 1
    monkeypatch.setattr("tasks.data.reading.SHARD_ROWS", 7)
    (days.exports / "large.jsonl").write_text(pairs(*(f"l{n}" for n in range(30))))
    found = days.night()
    assert days.read == ["large.jsonl"]
    assert [shard.n_rows for shard in found.shards] == [40, 7, 7, 7, 7, 2]
    assert len(set(days.ids(found))) == found.n_rows == 70


def test_a_file_of_batches_that_was_edited_is_named(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a"))
    days.night()
    path = batches_file(days.folder / "kept", SourceSpec(path="exports"), "default")
    path.write_text(path.read_text()[:-5])
    with pytest.raises(SourceError, match=path.name) as refused:
        days.night()
    assert "delete it" in refused.value.do


def test_the_fingerprint_changes_with_every_byte_and_with_what_is_to_be_forgotten_alone(days: Days) -> None:
    def print_() -> str:
        return fingerprint(
            (SourceSpec(path="exports"),), place_in(days.folder, days.store), read_forgotten(days.folder / "kept")
        )

    (days.exports / "a.jsonl").write_text(pairs("a"))
    first = print_()
    days.night()
    assert print_() == first
    (days.exports / "a.jsonl").write_text(pairs("b"))
    second = print_()
    assert second != first
    ask_to_forget(days.folder / "kept", "id", "x", "asked", "ann")
    assert print_() not in (first, second)


# --- forgetting ---


def test_a_tenant_s_rows_leave_the_next_snapshot_and_do_not_come_back(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a1", tenant="north") + pairs("a2"))
    (days.exports / "b.jsonl").write_text(pairs("b1"))
    days.night()
    ask_to_forget(days.folder / "kept", "tenant", "north", "contract ended", "ann")
    ask_to_forget(days.folder / "kept", "id", "b1", "asked", "ann")
    assert days.ids(days.night()) == ["a2"]
    assert days.read == []  # what was read is not read again
    (days.exports / "c.jsonl").write_text(pairs("b1", tenant="south") + pairs("c1", tenant="north") + pairs("c2"))
    assert days.ids(days.night()) == ["a2", "c2"]
    (days.exports / "a.jsonl").write_text(pairs("a1", tenant="north") + pairs("a2", "a3"))
    assert sorted(days.ids(days.night())) == ["a2", "a3", "c2"]


def test_sources_of_nothing_but_forgotten_rows_hold_no_rows(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a1", tenant="north"))
    days.night()
    ask_to_forget(days.folder / "kept", "tenant", "north", "why", "ann")
    with pytest.raises(SourceError, match="hold no rows"):
        days.night()


def test_a_list_of_requests_that_was_edited_stops_the_night(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a1"))
    ask_to_forget(days.folder / "kept", "id", "a1", "why", "ann")
    with forgotten_file(days.folder / "kept").open("a") as file:
        file.write('{"what": "tenant"\n')
    with pytest.raises(SourceError, match="no request") as refused:
        days.night()
    assert "mend the line" in refused.value.do


# --- lineage ---


def test_a_row_is_traced_to_its_object_version_and_line(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(pairs("a1") + "{cut\n" + pairs("a2", tenant="north"))
    found = days.night()
    (row,) = origins(found.shards, frozenset({"a2"}), None, days.store)
    assert (row.source, row.line, row.tenant, row.builder) == ("a.jsonl", 3, "north", row.builder)
    assert row.version == found.files[0].version
    assert [one.id for one in origins(found.shards, frozenset(), "north", days.store)] == ["a2"]
    assert list(origins(found.shards, frozenset({"none"}), None, days.store)) == []


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]), min_size=1), unique=True, max_size=8), st.data())
@settings(max_examples=30)
def test_ids_are_found_in_the_lines_they_stand_in_whatever_characters_they_hold(ids: list[str], data: Any) -> None:
    import tempfile

    wanted = data.draw(st.sets(st.sampled_from(ids)) if ids else st.just(set[str]()))
    with tempfile.TemporaryDirectory() as name:
        store = Store(Path(name))
        rows = ({"id": one, "prompt": [{"content": one}]} for one in ids)
        lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        blob = store.put_bytes(lines.encode())
        assert len(list(lines_of(blob, store))) == len(ids)
        assert ids_in(blob, frozenset({*wanted, "not there \x00"}), store) == wanted


def test_reasons_stand_in_the_quarantine(tmp_path: Path) -> None:
    store = Store(tmp_path)
    rows: Iterable[dict[str, Any]] = ({"id": f"r{n}", "reasons": ["email"]} for n in range(3))
    blob = store.put_bytes("".join(json.dumps(row) + "\n" for row in rows).encode())
    assert reasons_of(blob, frozenset({"r1", "x"}), store) == {"r1": ["email"]}


# --- labels that become pairs ---


def label(id_: str, prompt: str, answer: str, good: bool, **more: Any) -> str:
    return json.dumps({"id": id_, "prompt": prompt, "completion": answer, "label": good, **more}) + "\n"


def test_labels_of_one_prompt_become_a_pair_whatever_night_they_came_and_are_no_labels_any_more(days: Days) -> None:
    def collected() -> Snapshot:
        return snapshot_of([SourceSpec(path="exports", kind="labels")], days.folder, days.store)

    (days.exports / "a.jsonl").write_text(
        label("up", "why?", "because", True, truth=7) + label("alone", "who?", "me", True)
    )
    assert {row["id"]: row["kind"] for row in days.rows(collected())} == {"up": "label", "alone": "label"}
    (days.exports / "b.jsonl").write_text(label("down", "why?", "go away", False, weight=0.5))
    found = collected()
    rows = {row["id"]: row for row in days.rows(found)}
    assert {id_: row["kind"] for id_, row in rows.items()} == {"alone": "label", "up+down": "pair"}
    assert found.n_rows == 2
    pair = rows["up+down"]
    assert (pair["chosen_text"], pair["rejected_text"], pair["builder"]) == ("because", "go away", "labels/paired")
    assert (pair["truth"], pair["weight"]) == ("7", 0.5)
    assert (pair["source"], pair["line"]) == ("a.jsonl", 1)
    assert json.loads(pair["raw"]) == {"good": "up", "bad": "down"}
    assert collected() == found


def test_a_large_file_is_read_in_parts_into_one_batch(days: Days, monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    from tasks.data.sources import parts as parts_module

    path = days.exports / "large.jsonl"
    path.write_text(pairs(*(f"r{n}" for n in range(200))) + "{cut\n")
    os.utime(path, (1e9, 1e9))
    whole = days.night()
    assert days.read == ["large.jsonl"]
    monkeypatch.setattr(collect, "parts_of", lambda obj: parts_module.parts_of(obj, 2000))
    monkeypatch.setattr(collect, "importer_revision", lambda caps: "sha256:" + "2" * 64)
    found = days.night()
    assert len(days.read) > 5
    assert len(found.shards) == len(days.read)
    assert found.files == whole.files
    assert [(row["id"], row["line"]) for row in days.rows(found)] == [
        (row["id"], row["line"]) for row in days.rows(whole)
    ]


def test_of_two_recipes_that_differ_in_keep_alone_neither_drops_what_the_other_keeps(days: Days) -> None:
    (days.exports / "old.jsonl").write_text(pairs("old"))
    days.night(keep=True)
    (days.exports / "old.jsonl").unlink()
    (days.exports / "new.jsonl").write_text(pairs("new"))
    assert days.ids(days.night(keep=False)) == ["new"]
    assert sorted(days.ids(days.night(keep=True))) == ["new", "old"]


def test_rows_of_all_sources_come_in_the_order_that_they_were_read_in(days: Days) -> None:
    other = days.folder / "other"
    other.mkdir()
    specs = [SourceSpec(path="exports"), SourceSpec(path="other")]
    (days.exports / "a.jsonl").write_text(pairs("a1"))
    (other / "b.jsonl").write_text(pairs("b1"))
    assert days.ids(snapshot_of(specs, days.folder, days.store)) == ["a1", "b1"]
    (days.exports / "c.jsonl").write_text(pairs("c1"))
    assert days.ids(snapshot_of(specs, days.folder, days.store)) == ["a1", "b1", "c1"]


def log(id_: str) -> str:
    """A service log whose two drafts an agent edited: two rows of one record."""
    turns = [
        {"role": "user", "content": f"where is {id_}?"},
        {"role": "agent", "content": "It comes on Monday.", "draft": "No idea."},
        {"role": "user", "content": "and the bill?"},
        {"role": "agent", "content": "It is in the box.", "draft": "What bill?"},
    ]
    return json.dumps({"id": id_, "messages": turns}) + "\n"


def test_a_record_is_forgotten_and_shown_with_every_row_that_it_made(days: Days) -> None:
    def collected() -> Snapshot:
        return snapshot_of([SourceSpec(path="exports", kind="conversations")], days.folder, days.store)

    (days.exports / "a.jsonl").write_text(log("one") + log("on") + log("two"))
    found = collected()
    of_one = [row.id for row in origins(found.shards, frozenset({"one"}), None, days.store)]
    assert len(of_one) == 2
    assert all(id_.startswith("one/") for id_ in of_one)
    ask_to_forget(days.folder / "kept", "id", "one", "asked", "ann")
    left = days.ids(collected())
    assert len(left) == 4
    assert not [id_ for id_ in left if id_ == "one" or id_.startswith("one/")]


def test_a_label_that_became_part_of_a_pair_is_found_in_the_pair_and_in_what_was_trained_on(days: Days) -> None:
    (days.exports / "a.jsonl").write_text(label("up", "why?", "because", True) + label("down", "why?", "go", False))
    found = snapshot_of([SourceSpec(path="exports", kind="labels")], days.folder, days.store)
    assert [row.id for row in origins(found.shards, frozenset({"up"}), None, days.store)] == ["up+down"]
    unit = {"id": "x y", "labels": [{"id": "x", "label": True}, {"id": "y", "label": False}]}
    blob = days.store.put_bytes(json.dumps(unit).encode() + b"\n")
    assert ids_in(blob, frozenset({"y", "z"}), days.store) == {"y"}
