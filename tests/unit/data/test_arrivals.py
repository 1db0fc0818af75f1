"""When preferences came, and how long texts are."""

import json
from pathlib import Path

from infra.store import Store
from tasks.contracts import Snapshot
from tasks.data.arrivals import newest_arrival, token_counts
from tests.data_place import snapshot_of


def snapshot(tmp_path: Path, *times: str | None, broken: str = "") -> tuple[Snapshot, Store]:
    rows = [json.dumps({"prompt": f"p{i}", "chosen": "a", "rejected": "b"} | ({"timestamp": time} if time else {}))
            for i, time in enumerate(times)]  # fmt: skip
    (tmp_path / "rows.jsonl").write_text("\n".join([*rows, *([broken] if broken else [])]) + "\n")
    store = Store(tmp_path / "store")
    return snapshot_of(("rows.jsonl",), tmp_path, store), store


def test_the_newest_arrival_is_the_latest_moment_whatever_its_zone(tmp_path: Path) -> None:
    made = snapshot(tmp_path, "2026-11-20T10:00:00+02:00", "2026-11-20T09:00:00Z", None, "2026-11-19T23:00:00")
    found = newest_arrival(*made)
    assert found is not None
    assert found.isoformat() == "2026-11-20T09:00:00+00:00"


def test_a_time_without_a_zone_is_utc(tmp_path: Path) -> None:
    assert str(newest_arrival(*snapshot(tmp_path, "2026-11-19T23:00:00"))) == "2026-11-19 23:00:00+00:00"


def test_what_is_no_time_is_no_arrival_and_none_is_invented(tmp_path: Path) -> None:
    assert newest_arrival(*snapshot(tmp_path, None, "yesterday")) is None


def test_a_row_that_could_not_be_read_does_not_count(tmp_path: Path) -> None:
    late = json.dumps({"prompt": 7, "chosen": None, "rejected": "b", "timestamp": "2027-01-01T00:00:00Z"})
    found = newest_arrival(*snapshot(tmp_path, "2026-11-20T09:00:00Z", broken=late))
    assert str(found) == "2026-11-20 09:00:00+00:00"


def test_tokens_are_counted_by_the_model_s_own_tokenizer(tiny_model: Path) -> None:
    short, long = token_counts(["hello", "hello " * 50], tiny_model / "tokenizer.json")
    assert 0 < short < long
    assert token_counts([], tiny_model / "tokenizer.json") == []
