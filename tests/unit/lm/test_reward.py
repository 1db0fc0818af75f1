"""Reward models: a tiny sequence classifier with random weights, in batches, against its own forward one by one."""

import json
import math
import shutil
from pathlib import Path

import pytest
import torch

from tasks.errors import ModelError
from tasks.lm.loading import load_tokenizer
from tasks.lm.reward import as_mark, by_length, load_reward_model

PROMPTS = [
    [{"role": "user", "content": "what is the sun"}],
    [{"role": "system", "content": "no rude words"}, {"role": "user", "content": "where is my order please"}],
    [{"role": "user", "content": "why"}],
    [{"role": "user", "content": "how hot is the big old pan when it is hot cook with salt and oil"}],
    [{"role": "user", "content": "why"}],
]
ANSWERS = ["the big hot red sun .", "sorry no", "moon rain tea " * 20, "go", "a"]


@pytest.fixture(scope="module")
def reward_folder(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import LlamaConfig, LlamaForSequenceClassification

    folder = tmp_path_factory.mktemp("reward") / "model"
    folder.mkdir()
    for file in tiny_model.glob("token*.json"):
        shutil.copy(file, folder)
    for file in tiny_model.glob("*.jinja"):
        shutil.copy(file, folder)
    torch.manual_seed(5)
    config = LlamaConfig.from_pretrained(tiny_model, num_labels=1)
    model = LlamaForSequenceClassification(config)
    with torch.no_grad():
        model.score.weight.mul_(20)  # random heads give almost the same reward to everything
    model.save_pretrained(folder)
    return folder


def one_by_one(folder: Path) -> list[float]:
    """The classifier's own forward, a text a call, with neither padding nor mask."""
    from transformers import LlamaForSequenceClassification

    model, tokenizer = LlamaForSequenceClassification.from_pretrained(folder).eval(), load_tokenizer(folder)
    found = []
    for prompt, answer in zip(PROMPTS, ANSWERS, strict=True):
        text = tokenizer.apply_chat_template([*prompt, {"role": "assistant", "content": answer}], tokenize=False)
        ids = torch.tensor([tokenizer(text, add_special_tokens=False)["input_ids"]])
        with torch.no_grad():
            found.append(float(model(input_ids=ids).logits[0, 0]))
    return found


@pytest.mark.parametrize("tokens", [1, 60, 4096])
def test_rewards_in_batches_are_the_models_own_one_by_one(reward_folder: Path, tokens: int, one_thread: None) -> None:
    expected = one_by_one(reward_folder)
    assert max(expected) - min(expected) > 0.1  # they differ, so an exchanged one would show
    model = load_reward_model(reward_folder, "cpu", torch.float32)
    model.tokens = tokens
    assert model.rewards(PROMPTS, ANSWERS) == pytest.approx(expected, abs=1e-5)
    assert model.rewards(PROMPTS[::-1], ANSWERS[::-1]) == pytest.approx(expected[::-1], abs=1e-5)
    assert model.rewards([], []) == []


def test_batches_hold_every_place_once_and_no_more_tokens_than_asked() -> None:
    lengths = [3, 50, 7, 7, 120, 1, 30]
    found = list(by_length(lengths, 60))
    assert sorted(place for batch in found for place in batch) == list(range(7))
    assert found[0] == [4]  # longer than a batch: alone
    assert all(len(batch) * max(lengths[place] for place in batch) <= 60 for batch in found[1:])
    assert found[2] == [6] or len(found[2]) > 1


def changed(folder: Path, to: Path, **changes: object) -> Path:
    """A copy of the folder with other values in config.json."""
    shutil.copytree(folder, to)
    config = json.loads((to / "config.json").read_text())
    (to / "config.json").write_text(json.dumps(config | changes))
    return to


def test_a_language_model_is_no_reward_model(tiny_model: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has 2 labels"):
        load_reward_model(tiny_model, "cpu", torch.float32)
    # with one label, its head would be drawn at random
    folder = changed(tiny_model, tmp_path / "headless", id2label={"0": "LABEL_0"}, label2id={"LABEL_0": 0})
    with pytest.raises(ModelError, match=r"lacks score\.weight"):
        load_reward_model(folder, "cpu", torch.float32)


def test_a_reward_model_without_padding_token_or_files_is_refused(reward_folder: Path, tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="no pad_token_id"):
        load_reward_model(changed(reward_folder, tmp_path / "padless", pad_token_id=None), "cpu", torch.float32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(ModelError, match="can't be read"):
        load_reward_model(tmp_path / "empty", "cpu", torch.float32)


def test_a_text_longer_than_the_model_reads_is_refused_and_not_cut(reward_folder: Path) -> None:
    model = load_reward_model(reward_folder, "cpu", torch.float32)
    with pytest.raises(ModelError, match="and the reward model reads 256"):
        model.rewards(PROMPTS[:1], ["sun " * 260])


def test_a_reward_that_is_not_finite_is_an_error(reward_folder: Path) -> None:
    model = load_reward_model(reward_folder, "cpu", torch.float32)
    with torch.no_grad():
        model.model.score.weight.fill_(math.nan)
    with pytest.raises(ModelError, match=r"the reward of answer \d is nan"):
        model.rewards(PROMPTS, ANSWERS)


def test_a_mark_is_the_probability_of_being_preferred() -> None:
    assert as_mark(2.0, 2.0) == 0.5
    assert as_mark(1.0 + math.log(3), 1.0) == pytest.approx(0.75)
    assert as_mark(1.0, 1.0 + math.log(3)) == pytest.approx(0.25)
    assert as_mark(-1e6, 1e6) == 0.0  # and no overflow
    assert as_mark(1e6, -1e6) == 1.0
    with pytest.raises(ModelError):
        as_mark(math.nan, 0.0)
    with pytest.raises(ModelError):
        as_mark(0.0, math.inf)
