"""Facts of a shard are written once, and anew where its rows have other numbers."""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from infra.store import Blob, Store
from tasks.contracts import Shard
from tasks.data.facts import facts_of
from tasks.data.kinds.build import build
from tasks.data.records import Record
from tasks.data.rows import Rows
from tasks.data.shards import stored
from tasks.parts import PARQUET


class Two:
    """Shards of some pairs each, and one feature of them."""

    def __init__(self, folder: Path) -> None:
        self.store, self.kept = Store(folder / "store"), folder / "kept"

    def shard(self, *names: str) -> Shard:
        rows = Rows("default")
        for line, name in enumerate(names, 1):
            record = Record({"id": name, "prompt": f"{name}?", "chosen": "yes", "rejected": "no"}, b"{}", line)
            for built in build("pairs", "auto", record):
                rows.add(built, record, "f.jsonl", "v")
        return stored(rows.table(), self.store)

    def feature(self, *values: bool) -> Blob:
        sink = pa.BufferOutputStream()
        pq.write_table(pa.table({"email": list(values)}), sink)
        return self.store.put_bytes(sink.getvalue().to_pybytes(), PARQUET)

    def facts(self, shards: list[Shard], features: list[Blob]) -> list[pa.Table]:
        return [pq.ParquetFile(path).read() for path in facts_of(shards, {"personal": features}, self.store, self.kept)]


def test_rows_are_numbered_through_all_shards_whatever_was_written_before(tmp_path: Path) -> None:
    two = Two(tmp_path)
    first, less, last = two.shard("a", "b", "c"), two.shard("a", "c"), two.shard("d", "e")
    of_three, of_two, clean = two.feature(False, True, False), two.feature(False, False), two.feature(False, False)
    for shards, features in (([first, last], [of_three, clean]), ([less, last], [of_two, clean])):
        found = pa.concat_tables(two.facts(shards, features))
        assert found["row"].to_pylist() == list(range(found.num_rows))
        assert found["shard"].to_pylist() == [0] * shards[0].n_rows + [1, 1]
        assert found["place"].to_pylist() == [*range(shards[0].n_rows), 0, 1]
        assert found["id"].to_pylist()[-2:] == ["d", "e"]
    swapped = pa.concat_tables(two.facts([last, less], [clean, of_two]))
    assert (swapped["id"].to_pylist(), swapped["shard"].to_pylist()) == (["d", "e", "a", "c"], [0, 0, 1, 1])


def test_another_feature_is_another_fact_and_the_same_is_not_written_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    two = Two(tmp_path)
    shards, features = [two.shard("a", "b")], [two.feature(False, False)]
    before = two.facts(shards, features)
    assert two.facts(shards, [two.feature(True, False)])[0]["has_email"].to_pylist() == [True, False]
    monkeypatch.setattr("tasks.data.facts._facts", lambda *_: pytest.fail("it is written again"))
    assert two.facts(shards, features) == before
