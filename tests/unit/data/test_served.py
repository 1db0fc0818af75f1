"""What is asked in service is counted, and tonight's data is compared with it; what is no request is counted too."""

import gzip
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest

from infra.store import Store
from tasks.data.kinds.asked import asked
from tasks.data.records import Record
from tasks.data.served import Served, count_served, read_served, served_fingerprint
from tasks.data.sources.objects import Caps
from tasks.data_spec import DataSpec, ServedSpec
from tasks.errors import SourceError
from tests.conftest import NEUTRAL
from tests.data_place import place_in, preferences_of, snapshot_of


def of(value: dict[str, Any]) -> list[str]:
    return ["\n".join(one["content"] for one in prompt) for prompt in asked(Record(value, b"", 1))]


@pytest.mark.parametrize(
    ("value", "prompts"),
    [
        ({"prompt": "where is my parcel?"}, ["where is my parcel?"]),
        ({"question": "when?", "answer": "soon"}, ["when?"]),
        ({"prompt": "\n\nHuman: hello\n\nAssistant: hi\n\nHuman: where?\n\nAssistant:"}, ["hello\nhi\nwhere?"]),
        ({"request": {"messages": [{"role": "user", "content": "a"}]}, "response": {"text": "b"}}, ["a"]),
        (
            {
                "messages": [
                    {"role": "system", "content": "be brief"},
                    {"role": "user", "content": "one"},
                    {"role": "assistant", "content": "1"},
                    {"role": "user", "content": "and"},
                    {"role": "user", "content": "two?"},
                    {"role": "assistant", "content": "2"},
                ]
            },
            ["be brief\none", "be brief\none\n1\nand\ntwo?"],
        ),
        ({"messages": [{"role": "user", "content": "not answered yet"}]}, ["not answered yet"]),
        ({"prompt": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}]}, ["q"]),
    ],
)
def test_a_record_says_what_was_asked(value: dict[str, Any], prompts: list[str]) -> None:
    assert of(value) == prompts


@pytest.mark.parametrize(
    "value", [{"text": "x"}, {"messages": [{"role": "assistant", "content": "hi"}]}, {"prompt": 3}]
)
def test_a_record_that_asks_nothing_says_so(value: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"asks|turns|text"):
        of(value)


def written(path: Path, prompts: list[str], age: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(json.dumps({"prompt": one}) + "\n" for one in prompts))
    os.utime(path, (1_700_000_000 - age, 1_700_000_000 - age))


def counted(folder: Path, spec: ServedSpec) -> Served:
    place = place_in(folder, Store(folder / "store"))
    return read_served(count_served(spec, place, Caps()), place.store)


def test_the_newest_objects_are_counted_and_no_more_than_are_asked_for(tmp_path: Path) -> None:
    written(tmp_path / "logs" / "a.jsonl", ["what was asked long ago, in many more words than now"] * 30, age=900)
    written(tmp_path / "logs" / "b.jsonl", ["short?"] * 20)
    found = counted(tmp_path, ServedSpec(path="logs", prompts=20))
    assert (found.objects, found.marginals.rows, found.marginals.length) == (1, 20, (("4–7", 20),))
    assert counted(tmp_path, ServedSpec(path="logs", prompts=40)).marginals.length == (("32–63", 20), ("4–7", 20))
    assert counted(tmp_path, ServedSpec(path="logs")).marginals.rows == 50


def test_records_that_are_no_requests_are_counted_and_a_cut_file_loses_what_is_cut(tmp_path: Path) -> None:
    lines = [json.dumps({"prompt": f"question {n}"}) for n in range(50)] + ['{"no": "request"}', "not JSON"]
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text("\n".join(lines))
    whole = gzip.compress("\n".join(lines).encode())
    (tmp_path / "logs" / "b.jsonl.gz").write_bytes(whole[: len(whole) - 20])
    found = counted(tmp_path, ServedSpec(path="logs"))
    assert found.objects == 2
    assert found.marginals.rows >= 50
    assert found.unread >= 3


def test_logs_without_a_prompt_end_the_night_and_say_what_to_do(tmp_path: Path) -> None:
    (tmp_path / "logs").mkdir()
    (tmp_path / "logs" / "a.jsonl").write_text('{"event": "login"}\n')
    with pytest.raises(SourceError, match=r"none of the 1 record\(s\) of logs holds a prompt\n.*\[data.served\]"):
        counted(tmp_path, ServedSpec(path="logs"))
    with pytest.raises(SourceError, match="nowhere"):
        counted(tmp_path, ServedSpec(path="nowhere"))


def test_other_logs_are_another_night_and_the_same_bytes_the_same(tmp_path: Path) -> None:
    place = place_in(tmp_path, Store(tmp_path / "store"))
    written(tmp_path / "logs" / "a.jsonl", ["one?"])
    first = served_fingerprint(ServedSpec(path="logs"), place)
    written(tmp_path / "logs" / "a.jsonl", ["one?"], age=5)
    assert served_fingerprint(ServedSpec(path="logs"), place) == first
    written(tmp_path / "logs" / "a.jsonl", ["two?"], age=5)
    assert served_fingerprint(ServedSpec(path="logs"), place) != first


def test_data_that_is_not_what_is_asked_in_service_is_said_to_drift(tmp_path: Path, tiny_model: Path) -> None:
    store = Store(tmp_path / "store")
    words = [f"{one} {other}" for one in NEUTRAL for other in NEUTRAL]
    random.Random(3).shuffle(words)
    rows = [
        {"id": f"r{n}", "prompt": f"what is {word}", "chosen": f"please {word}", "rejected": f"stop {word}"}
        for n, word in enumerate(words[:300])
    ]
    (tmp_path / "pairs.jsonl").write_text("".join(json.dumps(one) + "\n" for one in rows))
    alike, other = [f"what is {word}" for word in words[300:600]], ["tell me at length about " + "parcels " * 40] * 300
    for prompts, drifts in ((alike, False), (other, True)):
        written(tmp_path / "logs" / "a.jsonl", prompts)
        served = count_served(ServedSpec(path="logs"), place_in(tmp_path, store), Caps())
        snapshot = snapshot_of(["pairs.jsonl"], tmp_path, store).model_copy(update={"served": served})
        found = preferences_of(snapshot, DataSpec(), tiny_model, [], tmp_path, store)
        said = [one for one in found.warnings if "asked in service" in one]
        assert bool(said) == drifts, found.warnings
        page = store.read_bytes(found.page).decode()
        assert "what is asked in service: 300 prompts of logs" in page
