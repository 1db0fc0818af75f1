"""Labels: every spelling of a thumb, what is rated in a chat, and how labels of one prompt become pairs."""

import json
import time
from typing import Any

import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tasks.data.kinds.labels import thumb
from tasks.data.kinds.labels_paired import Paired, pair_labels
from tests.unit.data.kinds.records import NO, USER, YES, built


@pytest.mark.parametrize(
    "value",
    [
        True,
        1,
        1.0,
        "up",
        "Thumbs_Up",
        "thumbs-up",
        "👍",
        "👍🏽",
        "like",
        "Good",
        "1",
        "+1",
        "yes",
        "helpful",
        {"value": "up"},
    ],
)
def test_every_spelling_of_up_is_up(value: Any) -> None:
    assert thumb(value) is True


@pytest.mark.parametrize(
    "value",
    [
        False,
        0,
        -1,
        "down",
        "thumbs_down",
        "Thumbs Down",
        "👎",
        "dislike",
        "bad",
        "0",
        "-1",
        "not helpful",
        {"label": 0},
    ],
)
def test_every_spelling_of_down_is_down(value: Any) -> None:
    assert thumb(value) is False


@pytest.mark.parametrize(
    ("value", "name"), [(None, "label"), ("", "label"), ("none", "thumb"), (0, "score"), (0, "vote")]
)
def test_neither_is_no_label(value: Any, name: str) -> None:
    assert thumb(value, name) is None


@given(st.floats(allow_nan=False) | st.integers())
def test_of_a_score_the_sign_counts(value: float) -> None:
    assert thumb(value, "score") == (None if value == 0 else value > 0)


@pytest.mark.parametrize("value", [4, 0.5, "4", "great!", [], {}, {"value": {"value": 1}}, float("nan"), "2"])
def test_what_is_no_thumb_is_refused_with_its_value(value: Any) -> None:
    with pytest.raises(ValueError, match=r"rating.*(none of -1, 0 and 1|no thumb)"):
        thumb(value, "rating")


@pytest.mark.parametrize("answer", ["completion", "response", "answer", "output"])
@pytest.mark.parametrize("prompt", ["prompt", "question", "query"])
def test_a_rated_answer_is_a_label_by_whatever_names(prompt: str, answer: str) -> None:
    (good,) = built("labels", {prompt: "q", answer: "y", "thumb": "up", "model": "m", "weight": 0.25})
    assert (good.kind, good.label, good.prompt, good.chosen, good.rejected) == ("label", True, [USER], [YES], [])
    assert (good.chosen_model, good.rejected_model, good.weight) == ("m", None, 0.25)
    (bad,) = built("labels", {prompt: "q", answer: "n", "liked": False, "model": "m"})
    assert (bad.label, bad.chosen, bad.rejected, bad.rejected_model) == (False, [], [NO], "m")


def test_what_nobody_rated_is_no_row_and_what_has_no_place_for_a_rating_is_refused() -> None:
    assert built("labels", {"prompt": "q", "completion": "y", "thumb": None}) == []
    with pytest.raises(
        ValueError, match=r"the record has no label, no kto_tag.*the record has \['completion', 'prompt'\]"
    ):
        built("labels", {"prompt": "q", "completion": "y"})


@pytest.mark.parametrize("weight", [0, -1, 1.5, "much", float("nan")])
def test_a_weight_outside_0_to_1_is_refused(weight: Any) -> None:
    with pytest.raises(ValueError, match="weight"):
        built("labels", {"prompt": "q", "completion": "y", "label": True, "weight": weight})


@pytest.mark.parametrize(("stars", "label"), [(5, True), (4, True), ("4.0", True), (3, None), (2, False), (1, False)])
def test_four_and_five_stars_are_good_and_one_and_two_bad(stars: Any, label: bool | None) -> None:
    found = built("labels", {"prompt": "q", "completion": "y", "rating": stars}, "stars")
    assert [one.label for one in found] == ([] if label is None else [label])


def test_a_chats_rated_answers_have_the_turns_before_them_as_prompt() -> None:
    more = {"role": "user", "content": "more"}
    found = built(
        "labels", {"messages": [USER, YES | {"feedback": "up"}, more, NO | {"feedback": "down"}], "system": "s"}
    )
    system = {"role": "system", "content": "s"}
    assert [(one.label, one.prompt) for one in found] == [
        (True, [system, USER]),
        (False, [system, USER, YES, more]),
    ]
    (last,) = built("labels", {"messages": [USER, YES, more, NO], "feedback": "down"})
    assert (last.prompt, last.rejected) == ([USER, YES, more], [NO])


def test_a_long_chats_prompts_are_its_last_turns() -> None:
    turns = [turn for _ in range(50) for turn in (USER, YES | {"feedback": "up"})]
    found = built("labels", {"messages": [{"role": "system", "content": "s"}, *turns]})
    assert len(found) == 50
    assert [turn["role"] for turn in found[-1].prompt[:2]] == ["system", "user"]
    assert max(len(one.prompt) for one in found) == 32


def test_a_rated_greeting_has_no_question_before_it_for_the_check_of_roles_to_name() -> None:
    system = {"role": "system", "content": "s"}
    (one,) = built("labels", {"messages": [system, YES | {"feedback": "up"}, USER]})
    assert one.prompt == [system]


def test_a_rated_question_is_refused() -> None:
    with pytest.raises(ValueError, match="message 1 is rated and is no answer but of role 'user'"):
        built("labels", {"messages": [USER | {"feedback": "up"}, YES]})


# ---- labels of one prompt become pairs -------------------------------------------------------------------------------


def table(*labels: tuple[str, str, bool], **columns: list[Any]) -> pa.Table:
    """Rows of (prompt, answer, good); their ids count."""

    def turns(role: str, text: str | None) -> str:
        return json.dumps([{"role": role, "content": text}] if text is not None else [])

    return pa.table(
        {
            "id": pa.array([f"{place:04}" for place in range(len(labels))], pa.string()),
            "prompt": pa.array([turns("user", prompt) for prompt, _, _ in labels], pa.string()),
            "chosen": pa.array(
                [turns("assistant", answer if good else None) for _, answer, good in labels], pa.string()
            ),
            "rejected": pa.array(
                [turns("assistant", None if good else answer) for _, answer, good in labels], pa.string()
            ),
            **columns,
        }
    )


def said(pairs: list[Paired]) -> list[tuple[str, str, str]]:
    return sorted(
        (one.built.prompt[0]["content"], one.built.chosen[0]["content"], one.built.rejected[0]["content"])
        for one in pairs
    )


def test_a_good_and_a_bad_answer_to_one_prompt_become_a_pair() -> None:
    labels = table(
        ("q", "y", True), ("other", "y", True), ("q", "n", False), tenant=["a", "a", "a"], weight=[1.0, 1, 0.5]
    )
    (one,) = pair_labels(labels)
    assert said([one]) == [("q", "y", "n")]
    assert (one.good, one.bad) == (0, 2)
    assert (one.built.id, one.built.builder, one.built.weight, one.built.tenant) == (
        "0000+0002",
        "labels/paired",
        0.5,
        "a",
    )


@pytest.mark.parametrize(
    ("truths", "found"),
    [(["7", "7"], "7"), ([None, "7"], "7"), (["7", None], "7"), (["7", "8"], None), ([None] * 2, None)],
)
def test_a_pair_of_labels_has_their_truth_unless_they_disagree(truths: list[str | None], found: str | None) -> None:
    (one,) = pair_labels(table(("q", "y", True), ("q", "n", False), truth=truths))
    assert one.built.truth == found


def test_labels_of_two_tenants_are_no_pair() -> None:
    assert pair_labels(table(("q", "y", True), ("q", "n", False), tenant=["a", "b"])) == []
    assert pair_labels(table(("q", "y", True), ("q", "n", False), tenant=["a", None])) == []


def test_an_answer_that_is_called_good_and_bad_is_in_no_pair() -> None:
    labels = table(("q", "y", True), ("q", "y", False), ("q", "n", False), ("q", "z", True))
    assert said(pair_labels(labels)) == [("q", "z", "n")]


def test_the_heaviest_labels_are_paired_first() -> None:
    labels = table(("q", "weak", True), ("q", "strong", True), ("q", "n", False), weight=[0.5, 1.0, 1.0])
    assert said(pair_labels(labels)) == [("q", "strong", "n")]


rows = st.lists(st.tuples(st.sampled_from("pq"), st.sampled_from("abcde"), st.booleans()), max_size=25)


@settings(max_examples=40, deadline=None)
@given(rows, st.randoms(use_true_random=False))
def test_each_label_is_used_once_at_most_as_many_as_can_be_and_whatever_the_order(labels: list[Any], rng: Any) -> None:
    whole = table(*labels)
    found = pair_labels(whole)
    used = [place for one in found for place in (one.good, one.bad)]
    assert len(set(used)) == len(used)
    for one in found:
        assert (labels[one.good][0], labels[one.good][2], labels[one.bad][2]) == (labels[one.bad][0], True, False)
        assert labels[one.good][1] != labels[one.bad][1]
    for prompt in "pq":
        good, bad = ({answer for p, answer, g in labels if (p, g) == (prompt, side)} for side in (True, False))
        assert sum(labels[one.good][0] == prompt for one in found) == min(len(good - bad), len(bad - good))
    shuffled = rng.sample(range(len(labels)), len(labels))
    assert said(pair_labels(whole.take(pa.array(shuffled, pa.int64())))) == said(found)


def test_one_prompt_with_very_many_labels_takes_no_quadratic_time() -> None:
    count = 8_000
    labels = table(*[("q", f"answer {place}", place % 2 == 0) for place in range(count)])
    began = time.monotonic()
    assert len(pair_labels(labels)) == count // 2
    assert time.monotonic() - began < 5  # 0.1 s; comparing each with each would take minutes
