"""Plain prompts as token ids. That they are lm-evaluation-harness's own is tests/unit/gate/test_lm_eval_parity.py."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from tasks.errors import SuiteError
from tasks.lm.choices import ChoiceItem
from tasks.lm.loading import load_tokenizer
from tasks.lm.raw import LONGEST, cut_at, longest_of, tokenize_prompt, tokenize_raw


@pytest.fixture(scope="module")
def tokenizer(tiny_model: Path) -> Any:
    return load_tokenizer(tiny_model)


@pytest.fixture(scope="module")
def spelling() -> Any:
    """A token a character, ``ab`` and white space with a letter being one: they merge across a border."""
    vocabulary = {text: place for place, text in enumerate(["<unk>", "<s>", "a", "b", "ab", " ", "c", " c"])}
    merges = [("a", "b"), (" ", "c")]
    inner = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>"))
    inner.pre_tokenizer = pre_tokenizers.Split("$", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=inner, unk_token="<unk>", bos_token="<s>", eos_token="<s>")


def texts(tokenizer: Any, item: ChoiceItem) -> tuple[str, list[str]]:
    return tokenizer.decode(item.prompt), [tokenizer.decode(choice) for choice in item.choices]


def test_choices_share_the_context_and_no_template_is_put_around_it(tokenizer: Any) -> None:
    (item,) = tokenize_raw(tokenizer, "what is red", [" tea", " old milk"], 50)
    assert texts(tokenizer, item) == ("what is red", ["tea", "old milk"])


def test_white_space_at_the_end_of_a_context_moves_to_the_choice(spelling: Any) -> None:
    (item,) = tokenize_raw(spelling, "b ", ["c", "b"], 50)
    assert item == ChoiceItem((3,), ((7,), (5, 3)))  # " c" is one token, as behind "b" in running text


def test_a_choice_is_what_the_whole_text_has_behind_the_contexts_own_tokens(spelling: Any) -> None:
    # "ab" + "c" is (ab, c); "a" alone is one token too, so what stands behind it is c, although b was merged away
    (item,) = tokenize_raw(spelling, "a", ["bc"], 50)
    assert item == ChoiceItem((2,), ((6,),))


def test_a_choice_that_melts_into_the_context_is_refused(spelling: Any) -> None:
    with pytest.raises(SuiteError, match=r"continuation of 'ab' has no token"):
        tokenize_raw(spelling, "a", ["b"], 50)


def test_a_blank_context_is_refused(spelling: Any) -> None:
    with pytest.raises(SuiteError, match="context"):
        tokenize_raw(spelling, " ", ["c"], 50)


def test_an_empty_context_is_the_token_that_begins_a_text(spelling: Any) -> None:
    assert tokenize_raw(spelling, "", ["ab", "c"], 50) == (ChoiceItem((1,), ((4,), (6,))),)


def test_a_choice_that_begins_with_that_token_is_its_own_context(spelling: Any) -> None:
    assert tokenize_raw(spelling, "", ["<s>ab", "c"], 50) == (ChoiceItem((1,), ((4,), (6,))),)


def test_special_tokens_are_not_added_where_the_text_has_them() -> None:
    class Adds:
        """A tokenizer that begins every text with token 1, `<s>`."""

        bos_token_id, eos_token_id = 1, 2

        def decode(self, token: int) -> str:
            return "<s>"

        def encode(self, text: str, add_special_tokens: bool = True) -> list[int]:
            ids = [1 if word == "<s>" else len(word) + 10 for word in text.split()]
            return [1, *ids] if add_special_tokens else ids

    assert tokenize_raw(Adds(), "four", [" two"], 9) == (ChoiceItem((1, 14), ((13,),)),)
    assert tokenize_raw(Adds(), "<s> four", [" two"], 9) == (ChoiceItem((1, 14), ((13,),)),)


def test_a_long_context_loses_its_beginning_and_the_last_token_needs_no_room(tokenizer: Any) -> None:
    (whole,) = tokenize_raw(tokenizer, "one two three red", [" tea"], 4)
    assert texts(tokenizer, whole) == ("one two three red", ["tea"])  # 5 tokens, of which 4 go in
    (cut,) = tokenize_raw(tokenizer, "one two three red", [" tea"], 3)
    assert texts(tokenizer, cut) == ("two three red", ["tea"])


def test_choices_of_other_lengths_cut_the_context_elsewhere_and_stand_alone(tokenizer: Any) -> None:
    items = tokenize_raw(tokenizer, "one two three red", [" tea", " old milk"], 3)
    assert [texts(tokenizer, item) for item in items] == [("two three red", ["tea"]), ("three red", ["old milk"])]


def test_a_choice_longer_than_the_model_is_refused(tokenizer: Any) -> None:
    tokenize_raw(tokenizer, "red", [" one two three"], 3)
    with pytest.raises(SuiteError, match="has 4 tokens, the model takes 3"):
        tokenize_raw(tokenizer, "red", [" one two three red"], 3)


def test_a_prompt_keeps_room_for_its_answer(tokenizer: Any) -> None:
    assert tokenizer.decode(tokenize_prompt(tokenizer, "one two three red", 2, 5)) == "two three red"
    assert len(tokenize_prompt(tokenizer, "one two three red", 1, 5)) == 4
    with pytest.raises(SuiteError, match="leaves no room"):
        tokenize_prompt(tokenizer, "one", 5, 5)


def test_an_answer_ends_before_the_first_of_its_stops() -> None:
    assert cut_at(" red tea\n\nQ: next Q:", ["Q:", "\n\n"]) == " red tea"
    assert cut_at("red", ["\n", ""]) == "red"


def test_a_models_length_is_its_configs_else_its_tokenizers() -> None:
    silent = SimpleNamespace(model_max_length=int(1e30))
    assert longest_of(SimpleNamespace(max_position_embeddings=256), silent) == 256
    assert longest_of(SimpleNamespace(n_positions=64, max_position_embeddings=256), silent) == 64
    inner = SimpleNamespace(text_config=SimpleNamespace(n_ctx=32), max_position_embeddings=256)
    assert longest_of(inner, silent) == 32
    assert longest_of(SimpleNamespace(), SimpleNamespace(model_max_length=512)) == 512
    assert longest_of(SimpleNamespace(), silent) == LONGEST
