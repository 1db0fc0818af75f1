"""A trained reward model on its way into another training: whether it may drive it, and how its rewards come."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from infra.events import emit
from tasks.align.reward_model.build import REPORT
from tasks.align.reward_model.report import read_report, refuse_weak, said_of
from tasks.errors import ModelError
from tasks.lm.generate import Conversation
from tasks.lm.reward import RewardModel, SequenceRewardModel, load_reward_model

# of a tokenizer's own file, what is set anew at each call
_PASSING = ("truncation", "padding")


class Centred:
    """A reward model whose rewards have the mean 0 on the pairs it was measured on.

    Bradley and Terry leave a constant open: only differences mean something. A value head would have to learn it first,
    and beside verifiable rewards it would count as something earned. The unit stays the nat: no division by the spread,
    which PPO's whitening and GRPO's groups do by themselves.
    """

    def __init__(self, model: RewardModel, mean: float) -> None:
        self.model, self.mean = model, mean

    def rewards(self, prompts: Sequence[Conversation], answers: Sequence[str]) -> list[float]:
        return [reward - self.mean for reward in self.model.rewards(prompts, answers)]


def load_driver(folder: str | None, tokenizer: Any, longest: int, device: str, dtype: torch.dtype) -> RewardModel:
    """The reward model of a folder, fit to reward this policy's answers.

    Args:
        folder: as a training of method "reward" leaves it; None where the night has none.
        tokenizer: the policy's.
        longest: tokens of the longest prompt with the longest answer.

    Raises:
        ModelError: there is none, it is below its floor, of another tokenizer or chat template, reads too little, or is
            damaged.
    """
    if folder is None:
        raise ModelError(
            'the reward "model" is that of an earlier phase, and none was given',
            do='put a [[phase]] with method = "reward" before this one, or take "model" out of phase.reward',
        )
    path = Path(folder)
    try:
        report = read_report((path / REPORT).read_bytes(), str(path / REPORT))
    except FileNotFoundError as error:
        raise ModelError(
            f"the reward model {path} has no {REPORT}: nobody measured it on held-out pairs",
            do='train one by a [[phase]] with method = "reward"',
        ) from error
    refuse_weak(report)
    model = load_reward_model(path, device, dtype)
    refuse_other_tokenizer(model.tokenizer, tokenizer, path)
    refuse_unfit(model, longest, path)
    emit("log", text=said_of(report))
    return Centred(model, report.mean)


def refuse_other_tokenizer(rewards: Any, policys: Any, folder: Path) -> None:
    """A reward model reads the policy's answers as text that its own tokenizer and template cut up.

    Raises:
        ModelError: one of them isn't the policy's.
    """
    for what, of in _PARTS.items():
        if of(rewards) != of(policys):
            raise ModelError(
                f"the reward model {folder} has another {what} than the policy: it learned from texts in another form",
                do="train the reward model from the model that the policy starts from, or give it the same "
                "tokenizer.json and chat template and train it anew",
            )


def refuse_unfit(model: SequenceRewardModel, longest: int, folder: Path) -> None:
    """Found before anything is drawn.

    Raises:
        ModelError: it has no place for all of its tokenizer's words, or reads less than the longest prompt and answer.
    """
    config = model.model.config.get_text_config()
    words = max(model.tokenizer.get_vocab().values()) + 1
    if words > config.vocab_size:
        raise ModelError(
            f"the reward model {folder} has embeddings of {config.vocab_size} words, its tokenizer has {words}",
            do="its weights are of another model than its tokenizer: train the reward model anew",
        )
    context = getattr(config, "max_position_embeddings", None)
    if context is not None and longest > context:
        raise ModelError(
            f"the longest prompt and answer have {longest} tokens, and the reward model {folder} reads {context}",
            do="lower phase.max_new_tokens or data.max_prompt_tokens, or take a reward model with a longer context",
        )


def _own_file(tokenizer: Any) -> Any:
    """What cuts text into tokens."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    if backend is None:
        return tokenizer.get_vocab()
    return {name: part for name, part in json.loads(backend.to_str()).items() if name not in _PASSING}


_PARTS = {
    "tokenizer": _own_file,
    "chat template": lambda tokenizer: tokenizer.chat_template,
    "end of sequence": lambda tokenizer: tokenizer.eos_token_id,
}
