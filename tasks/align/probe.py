"""A look at the model's own answers while it trains: how long they get, and how far they are from the reference.

DPO's metrics are about given answers. A model can drift where none of them looks (Rafailov et al. 2024, arXiv
2406.02900): so a few answers are sampled from the policy, and the mean of log policy − log reference over their tokens
estimates the divergence a token, KL(policy ‖ reference), without bias.
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch

from tasks.lm import packed, plain
from tasks.lm.generate import sample


class Probe:
    """Samples answers to the same prompts each time.

    Args:
        model: the policy, unwrapped. With a PEFT adapter the reference is the model without it; a model trained in full
            has no reference beside it: then only lengths are looked at, against its own before the first step.
        prompts: conversations.
        most: tokens an answer may have.
        watch: what else is said of the answers, by their texts.
    """

    def __init__(
        self,
        model: Any,
        tokenizer: Any,
        prompts: list[Any],
        most: int,
        seed: int,
        watch: Callable[[Sequence[str]], dict[str, float]] | None = None,
    ) -> None:
        self.model, self.tokenizer, self.prompts, self.most, self.seed = model, tokenizer, prompts, most, seed
        self.watch = watch
        rows = self._sample(reference=True)
        self.base_tokens = _mean_length(rows)
        self.base_watch = watch(self._texts(rows))["probe_watch"] if watch else 0.0

    def look(self) -> dict[str, float]:
        """``probe_tokens``, ``probe_base_tokens`` (mean answer lengths), with an adapter ``probe_kl`` (nats), and what
        the watch says."""
        rows = self._sample(reference=False)
        found = {"probe_tokens": _mean_length(rows), "probe_base_tokens": self.base_tokens}
        if hasattr(self.model, "disable_adapter"):
            found["probe_kl"] = self._divergence(rows)
        if self.watch is not None:
            found |= {**self.watch(self._texts(rows)), "probe_base_watch": self.base_watch}
        return found

    def _texts(self, rows: list[tuple[list[int], list[int]]]) -> list[str]:
        return [self.tokenizer.decode(answer, skip_special_tokens=True) for _, answer in rows]

    def _sample(self, *, reference: bool) -> list[tuple[list[int], list[int]]]:
        """(prompt, answer) as token ids. Neither the training's random numbers nor its mode are touched."""
        was, states = self.model.training, _random_states()
        self.model.eval()
        torch.manual_seed(self.seed)
        try:
            if reference and hasattr(self.model, "disable_adapter"):
                with self.model.disable_adapter():
                    return sample(self.model, self.tokenizer, self.prompts, self.most)
            return sample(self.model, self.tokenizer, self.prompts, self.most)
        finally:
            _restore(states)
            self.model.train(was)

    def _divergence(self, rows: list[tuple[list[int], list[int]]]) -> float:
        documents = [(prompt, [answer]) for prompt, answer in rows if answer]
        # only DPO's models are packed, and not all of them
        branch_logprobs = packed.branch_logprobs if packed.is_enabled(self.model) else plain.branch_logprobs
        was = self.model.training
        self.model.eval()
        try:
            policy = branch_logprobs(self.model, documents)
            with self.model.disable_adapter():
                reference = branch_logprobs(self.model, documents)
        finally:
            self.model.train(was)
        tokens = sum(len(answer) for _, (answer,) in documents)
        gap = sum(float((ours[0] - theirs[0]).sum()) for ours, theirs in zip(policy, reference, strict=True))
        return gap / max(tokens, 1)


def _mean_length(rows: list[tuple[list[int], list[int]]]) -> float:
    return sum(len(answer) for _, answer in rows) / len(rows)


def _random_states() -> tuple[torch.Tensor, Any]:
    return torch.get_rng_state(), torch.cuda.get_rng_state() if torch.cuda.is_available() else None


def _restore(states: tuple[torch.Tensor, Any]) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1])
