"""Keys of texts: a prompt never changes sides, and the fast way is the slow one."""

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tasks.data.keys import answer_key, below, bucket, normal, prompt_key


def by_hand(prompt: str) -> float:
    """A prompt's bucket, character by character."""
    key = " ".join("".join(char if char.isalnum() else " " for char in prompt.lower()).split())
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:8]) / 2**64


@given(st.text(st.characters(exclude_categories=["Cs"])) | st.text(st.characters(max_codepoint=127)))
def test_the_key_of_a_prompt_is_that_of_its_letters_and_digits(prompt: str) -> None:
    assert bucket(prompt_key(prompt)) == by_hand(prompt)


@pytest.mark.parametrize("other", ["where is MY order", "  Where is my order?! ", "where-is-my_order"])
def test_case_spaces_and_punctuation_do_not_move_a_prompt(other: str) -> None:
    assert prompt_key("Where is my order?") == prompt_key(other)
    assert normal(other) == "where is my order"


@given(st.integers(-(2**63), 2**63 - 1), st.floats(0.001, 0.999))
def test_a_key_is_held_out_where_its_bucket_is_below_the_share(key: int, share: float) -> None:
    assert -(2**63) <= below(share) < 2**63
    assert (key < below(share)) == (bucket(key) < share) or abs(bucket(key) - share) < 1e-15


def test_about_the_asked_share_is_held_out() -> None:
    share = sum(prompt_key(f"prompt {n}") < below(0.3) for n in range(4000)) / 4000
    assert share == pytest.approx(0.3, abs=0.025)  # 3.4 standard deviations


@given(st.text(), st.text())
def test_answers_differ_in_all_but_the_spaces_around_them(one: str, other: str) -> None:
    assert (answer_key(one) == answer_key(other)) == (one.strip() == other.strip())
