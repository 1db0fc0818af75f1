"""Which of a prompt's drawn answers are trained on."""

from typing import Any

import pytest

from tasks.align.reject.choose import Answer, choose, near_equal, rows_of
from tasks.phases import Phase


def answers(*given: tuple[str, float] | tuple[str, float, bool]) -> list[Answer]:
    return [
        Answer(text=one[0], tokens=len(one[0].split()) + 1, ended=one[2] if len(one) > 2 else True, reward=one[1],
               rewards={"a": one[1]})
        for one in given
    ]  # fmt: skip


def phase(train_as: str = "sft", **changes: Any) -> Phase:
    given = {"method": "reject", "reward": "not_refused", "train_as": train_as, "max_steps": 1, **changes}
    return Phase.model_validate(given)


def test_the_best_answer_is_imitated_and_the_first_of_equals() -> None:
    assert choose(answers(("a", 0.1), ("b", 0.9), ("c", 0.9), ("d", 0.2)), phase()) == ("kept", [(1, None)], 0)


def test_of_graded_answers_those_above_the_mean_are_imitated_as_many_as_may_be() -> None:
    drawn = answers(("a", 0.0), ("b", 0.5), ("c", 0.8), ("d", 1.0), ("e", 0.2))
    assert choose(drawn, phase(max_kept=5)).kept == [(3, None), (2, None)]
    assert choose(drawn, phase(max_kept=1)).kept == [(3, None)]


def test_pairs_are_the_best_over_the_worst_where_they_truly_differ() -> None:
    drawn = answers(("a", 0.0), ("b", 0.5), ("c", 0.8), ("d", 1.0), ("e", 0.2))
    assert choose(drawn, phase("dpo")).kept == [(3, 0)]
    assert choose(drawn, phase("dpo", max_kept=9)).kept == [(3, 0), (2, 4)]  # b would be over itself
    assert choose(drawn, phase("dpo", max_kept=9, min_gap=0.7)).kept == [(3, 0)]


@pytest.mark.parametrize("train_as", ["sft", "dpo"])
def test_rewards_no_further_apart_than_the_gap_are_no_signal(train_as: str) -> None:
    assert choose(answers(("a", 1.0), ("b", 1.0)), phase(train_as)) == ("no signal", [], 0)
    assert choose(answers(("a", 1.0), ("b", 1.5)), phase(train_as, min_gap=0.5)).why == "no signal"
    assert choose(answers(("a", 1.0), ("b", 1.5)), phase(train_as, min_gap=0.49)).why == "kept"


@pytest.mark.parametrize("train_as", ["sft", "dpo"])
def test_half_an_answer_is_nothing_to_imitate_but_may_be_the_worse_one(train_as: str) -> None:
    cut = answers(("a", 1.0, False), ("b", 0.0), ("", 0.9))
    assert choose(cut, phase(train_as)) == ("unfinished", [], 0)
    worse = choose(answers(("a", 1.0), ("b", 0.0, False), ("", -1.0)), phase(train_as))
    assert worse.kept == [(0, None if train_as == "sft" else 1)]  # an empty one is nothing at all


def test_near_equal_answers_count_once() -> None:
    long = "the moon is far away and the sun is further away still as everyone who has looked up at night knows"
    drawn = answers((long, 1.0), (long + ".", 1.0), (long.upper() + " !", 1.0), ("the sun , twice", 1.0), ("no", 0.0))
    found = choose(drawn, phase(max_kept=4))
    assert found == ("kept", [(0, None), (3, None)], 2)
    # on the side of the worse ones, too
    drawn = answers((long, 1.0), ("yes", 0.9), ("no", 0.0), ("No", 0.0), ("never ever", 0.0))
    assert choose(drawn, phase("dpo", max_kept=4)) == ("kept", [(0, 4), (1, 3)], 1)


def test_answers_that_earn_differently_are_never_near_equal_however_alike_they_read() -> None:
    reasons = "so we add each of these many numbers up in turn as is shown above and then we look at what is left over"
    right, wrong = (f"{reasons} , and once more to be sure of it , and get the number {n}" for n in (41, 42))
    one, other, same = answers((right, 1.0), (wrong, 0.0), (right, 1.0))
    assert near_equal(one, same, 0.02)
    assert near_equal(one, other, 2.0)  # one word in forty
    assert not near_equal(one, other, 0.02)
    found = choose([one, other], phase("dpo"))
    assert found == ("kept", [(0, 1)], 0)


def test_one_words_answers_that_differ_are_different() -> None:
    one, other = answers(("42", 1.0), ("43", 1.0))
    assert not near_equal(one, other, 0.02)
    one, other = answers(("42", 1.0), (" 42\n", 1.0))
    assert near_equal(one, other, 0.02)


@pytest.mark.parametrize("train_as", ["sft", "dpo"])
def test_rows_have_the_form_of_tonights_pairs_and_their_ids(train_as: str) -> None:
    drawn = answers(("good", 1.0), ("bad", 0.0))
    row = {"id": "pair-7", "prompt": [{"role": "user", "content": "hm"}], "truth": "1"}
    (made,) = rows_of(row, drawn, choose(drawn, phase(train_as)))
    expected = {
        "id": "pair-7", "prompt": row["prompt"], "chosen": [{"role": "assistant", "content": "good"}],
        "rejected": [{"role": "assistant", "content": "bad"}],
    }  # fmt: skip
    if train_as == "sft":
        del expected["rejected"]
    assert made == expected
