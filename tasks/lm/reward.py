"""Reward models: a number for an answer to a prompt, higher for a better one. Only differences mean something.

The interface, and the form that training libraries save: a sequence classifier with one label.
"""

import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch

from tasks.errors import ModelError
from tasks.lm.generate import Conversation
from tasks.lm.loading import load_tokenizer
from tasks.lm.model_files import check_model_folder

TOKENS = 4096  # of a batch, padding included


class RewardModel(Protocol):
    def rewards(self, prompts: Sequence[Conversation], answers: Sequence[str]) -> list[float]:
        """The reward of each answer to its prompt, in nats: the difference of two is the log-odds of a preference."""
        ...


class SequenceRewardModel:
    """A sequence classifier of transformers with one label, in evaluation mode, and its tokenizer."""

    def __init__(self, model: Any, tokenizer: Any, *, tokens: int = TOKENS) -> None:
        self.model, self.tokenizer, self.tokens = model, tokenizer, tokens

    def rewards(self, prompts: Sequence[Conversation], answers: Sequence[str]) -> list[float]:
        """See ``RewardModel``. An answer's reward doesn't depend on what else is in its batch, but for rounding.

        Raises:
            ModelError: a text is longer than the model reads, or a reward isn't finite.
        """
        rows = [self._ids(prompt, answer) for prompt, answer in zip(prompts, answers, strict=True)]
        found = [0.0] * len(rows)
        for batch in by_length([len(row) for row in rows], self.tokens):
            for place, reward in zip(batch, self._forward([rows[place] for place in batch]), strict=True):
                if not math.isfinite(reward):
                    raise ModelError(f"the reward of answer {place} is {reward}", do="train the reward model anew")
                found[place] = reward
        return found

    def _ids(self, prompt: Conversation, answer: str) -> list[int]:
        messages = [*prompt, {"role": "assistant", "content": answer}]
        text = self.tokenizer.apply_chat_template(messages, tokenize=False)
        ids = self.tokenizer(text, add_special_tokens=False)["input_ids"]
        longest = getattr(self.model.config.get_text_config(), "max_position_embeddings", None)
        if longest is not None and len(ids) > longest:
            raise ModelError(
                f"prompt and answer have {len(ids)} tokens, and the reward model reads {longest}",
                do="leave long answers out, or lower `max_tokens`",
            )
        return ids

    @torch.no_grad()
    def _forward(self, rows: list[list[int]]) -> list[float]:
        device = next(self.model.parameters()).device
        width = max(map(len, rows))
        # on the right: positions stay those of a row alone, and the classifier reads the last token that isn't padding
        pad = self.model.config.get_text_config().pad_token_id
        ids = torch.tensor([row + [pad] * (width - len(row)) for row in rows], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows], device=device)
        return self.model(input_ids=ids, attention_mask=mask).logits[:, 0].float().tolist()


def load_reward_model(folder: Path, device: str, dtype: torch.dtype) -> SequenceRewardModel:
    """The reward model of a folder in Hugging Face form.

    Raises:
        ModelError: it can't be read, has not one label, no padding token or no chat template, or lacks weights, which
            transformers would draw at random.
    """
    from transformers import AutoConfig, AutoModelForSequenceClassification

    check_model_folder(folder)
    try:
        config = AutoConfig.from_pretrained(folder, trust_remote_code=False)
        if config.num_labels != 1:
            raise ModelError(
                f"the reward model {folder} has {config.num_labels} labels",
                do="give a sequence classifier with one label (num_labels=1)",
            )
        if config.get_text_config().pad_token_id is None:  # the classifier finds a row's last token by it
            raise ModelError(
                f"the reward model {folder} has no pad_token_id", do="set it in config.json as in its training"
            )
        model, report = AutoModelForSequenceClassification.from_pretrained(
            folder, config=config, dtype=dtype, output_loading_info=True, trust_remote_code=False
        )
    except (OSError, ValueError) as error:
        first = str(error).partition("\n")[0]
        raise ModelError(
            f"the reward model {folder} can't be read: {first}",
            do="save model and tokenizer there with save_pretrained",
        ) from error
    if report["missing_keys"]:
        missing = ", ".join(sorted(report["missing_keys"])[:3])
        raise ModelError(f"the reward model {folder} lacks {missing}", do="save the trained classifier, head included")
    return SequenceRewardModel(model.to(device).eval(), load_tokenizer(folder))


def by_length(lengths: Sequence[int], tokens: int) -> Iterator[list[int]]:
    """Places in batches, the longest first, each of at most ``tokens`` tokens with its padding (or one row)."""
    batch: list[int] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if batch and (len(batch) + 1) * lengths[batch[0]] > tokens:
            yield batch
            batch = []
        batch.append(place)
    if batch:
        yield batch


def as_mark(reward: float, reference_reward: float) -> float:
    """The probability that the answer is preferred to the reference, in [0, 1] (Bradley and Terry 1952).

    Raises:
        ModelError: one of the rewards isn't finite.
    """
    if not (math.isfinite(reward) and math.isfinite(reference_reward)):
        raise ModelError(f"the rewards are {reward} and {reference_reward}", do="train the reward model anew")
    return 0.5 * (1.0 + math.tanh((reward - reference_reward) / 2))  # the logistic function, which can't overflow so
