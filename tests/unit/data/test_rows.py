"""Records of every form become one kind of row; what is no pair is kept with its reason and origin."""

import json
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.kinds.layouts import split_pair
from tasks.data.kinds.messages import transcript
from tasks.data.rows import COLUMNS, pair_row

USER, YES, NO = (
    {"role": role, "content": text} for role, text in (("user", "q"), ("assistant", "y"), ("assistant", "n"))
)

FORMS: dict[str, dict[str, Any]] = {
    "explicit conversational": {"prompt": [USER], "chosen": [YES], "rejected": [NO]},
    "implicit conversational": {"chosen": [USER, YES], "rejected": [USER, NO]},
    "plain": {"prompt": "q", "chosen": "y", "rejected": "n"},
    "transcripts": {"chosen": "\n\nHuman: q\n\nAssistant: y", "rejected": "\n\nHuman: q\n\nAssistant: n"},
    "transcript prompt": {"prompt": "\n\nHuman: q", "chosen": "y", "rejected": "n"},
    "lists as JSON text, as CSV holds them": {
        "prompt": json.dumps([USER]),
        "chosen": json.dumps([YES]),
        "rejected": json.dumps([NO]),
    },
}


@pytest.mark.parametrize("form", FORMS)
def test_every_form_of_a_pair_becomes_the_same_messages(form: str) -> None:
    assert split_pair(FORMS[form]) == ([USER], [YES], [NO])
    row = pair_row(FORMS[form], "f.jsonl", 7)
    assert (row["roles"], row["error"], row["source"], row["line"]) == ("user|assistant|assistant", None, "f.jsonl", 7)
    assert json.loads(row["prompt"]) == [USER]


def test_conversations_are_split_where_they_part() -> None:
    second = {"role": "user", "content": "and?"}
    prompt, chosen, rejected = split_pair({"chosen": [USER, YES, second, YES], "rejected": [USER, YES, second, NO]})
    assert (prompt, chosen, rejected) == ([USER, YES, second], [YES], [NO])


def test_equal_conversations_keep_an_answer_each_for_the_check_that_names_them() -> None:
    assert split_pair({"chosen": [USER, YES], "rejected": [USER, YES]}) == ([USER], [YES], [YES])


@pytest.mark.parametrize(
    ("record", "reason"),
    [
        ({"prompt": "q", "chosen": "y"}, "no rejected; the record has ['chosen', 'prompt']"),
        ({}, "no chosen and no rejected"),
        ({"chosen": "just text", "rejected": "other text"}, "no prompt beside it and is no transcript"),
        ({"prompt": 3, "chosen": "y", "rejected": "n"}, "prompt is neither text nor a list of messages but int"),
        ({"prompt": [], "chosen": "y", "rejected": "n"}, "prompt is neither text nor a list"),
        ({"prompt": [{"role": "user"}], "chosen": "y", "rejected": "n"}, "a message without text role and content"),
        ({"chosen": [YES], "rejected": [NO]}, "share no prompt"),
        ({"prompt": "q", "chosen": "\ud83d", "rejected": "n"}, "not Unicode text"),
    ],
)
def test_what_is_no_pair_is_kept_with_its_reason(record: dict[str, Any], reason: str) -> None:
    row = pair_row(record, "f.jsonl", 3)
    assert reason in row["error"]
    assert json.loads(row["raw"]) == record
    assert (row["source"], row["line"]) == ("f.jsonl", 3)
    assert pa.Table.from_pylist([row], COLUMNS).num_rows == 1


def test_a_record_without_an_id_gets_one_from_its_content() -> None:
    one, two = pair_row(FORMS["plain"], "a", 1), pair_row(FORMS["plain"], "b", 9)
    assert one["id"] == two["id"] != pair_row({**FORMS["plain"], "chosen": "other"}, "a", 1)["id"]
    assert pair_row({**FORMS["plain"], "id": 12}, "a", 1)["id"] == "12"


turns = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=20).map(str.strip)


@given(st.lists(turns.filter(lambda text: text and "Human:" not in text and "Assistant:" not in text), min_size=1))
def test_a_transcript_gives_back_its_turns(texts: list[str]) -> None:
    marks = ("Human", "Assistant")
    text = "".join(f"\n\n{marks[i % 2]}: {turn}" for i, turn in enumerate(texts))
    assert [message["content"] for message in transcript(text, "chosen")] == texts


values = st.none() | st.text() | st.integers() | st.floats() | st.booleans()
messages = st.lists(st.text() | st.dictionaries(st.sampled_from(["role", "content"]), st.text()))
names = st.sampled_from(["id", "prompt", "chosen", "rejected", "timestamp", "x"])


@given(st.dictionaries(names, values | messages))
def test_no_record_is_lost_or_breaks_the_snapshot(record: dict[str, Any]) -> None:
    row = pair_row(record, "f", 1)
    assert pa.Table.from_pylist([row], COLUMNS).num_rows == 1
    assert row["raw"]
