"""Next-word distributions along answers: packed, in one forward, against the model's own logits one by one."""

from pathlib import Path
from typing import Any

import pytest
import torch

from tasks.lm import packed, words
from tasks.lm.loading import load_model

ANSWERED = [([3, 7, 9, 4], [11, 5, 2]), ([8], [6]), ([5, 5, 12, 9, 30, 2], [40, 41, 42, 43])]


@pytest.fixture
def model(tiny_model: Path) -> Any:
    return load_model(tiny_model, None, torch.float32, "cpu")


def own(model: Any) -> list[torch.Tensor]:
    found = []
    for prompt, answer in ANSWERED:
        with torch.no_grad():
            logits = model(input_ids=torch.tensor([[*prompt, *answer]])).logits[0]
        found.append(logits[len(prompt) - 1 : -1].log_softmax(1))
    return found


@pytest.mark.parametrize("switched", [True, False])
def test_log_probabilities_of_words_are_the_models_own(model: Any, switched: bool) -> None:
    expected = own(model)
    if switched:
        assert packed.switch(model) is None
    for (ids, logprobs), whole in zip(words.likeliest(model, ANSWERED, 5), expected, strict=True):
        values, places = whole.topk(5)
        torch.testing.assert_close(logprobs, values, atol=1e-5, rtol=1e-5)
        assert torch.equal(ids, places)
    asked = [torch.randint(0, 60, (len(answer), 3)) for _, answer in ANSWERED]
    for logprobs, ids, whole in zip(words.logprobs_at(model, ANSWERED, asked), asked, expected, strict=True):
        torch.testing.assert_close(logprobs, whole.gather(1, ids), atol=1e-5, rtol=1e-5)


def test_more_words_than_the_vocabulary_has_are_all_of_them(model: Any) -> None:
    (ids, logprobs), *_ = words.likeliest(model, ANSWERED, 10_000)
    assert ids.shape == logprobs.shape == (3, model.config.vocab_size)
    assert float(logprobs.exp().sum(1)[0]) == pytest.approx(1, abs=1e-4)
