"""PPO on answers: TRL's GRPOTrainer with a value head, token advantages and an adaptive price of divergence.

TRL 1.16 has no PPO. From its GRPOTrainer come sampler, tokenizing, rewards, per-token log-probabilities, checkpoints
and the loop; a rollout (``_generate_and_score_completions``) and the loss are ours, by the arithmetic of
``tasks.align.online.advantages`` (Schulman et al. 2017, arXiv 1707.06347; Ziegler et al. 2019, arXiv 1909.08593).
"""

import contextlib
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

from tasks.align.online.advantages import (
    explained,
    gae,
    kl_tokens,
    masked_mean,
    next_coefficient,
    policy_loss,
    token_rewards,
    value_loss,
    whiten,
)
from tasks.align.online.own import OwnRollouts
from tasks.lm.packed import causal_lm

_HEAD = "value_head"


@dataclass(frozen=True)
class PPO:
    """Settings beside TRL's own (``num_iterations``: epochs over a rollout; ``num_generations``: answers a prompt)."""

    clip: float = 0.2
    value_clip: float = 0.2
    value_coefficient: float = 1.0  # of a loss that has its own ½; with a tenth the values came too late
    gamma: float = 1.0
    lam: float = 0.95
    kl_start: float = 0.05  # the price of a nat, where it begins
    kl_target: float = 0.1  # nats a token, which the price is moved to hold
    whiten_rewards: bool = True  # over a rollout's tokens, their mean left where it is


class ValueHead(torch.nn.Linear):
    """What an answer is still going to earn, from the backbone's last hidden state; at the start 0 everywhere."""

    def __init__(self, width: int, device: Any) -> None:
        super().__init__(width, 1, device=device, dtype=torch.float32)

    def reset_parameters(self) -> None:
        # no random numbers are drawn, and the first advantages are the rewards themselves
        torch.nn.init.zeros_(self.weight)
        torch.nn.init.zeros_(self.bias)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return super().forward(input.float())[..., 0]


class PPOTrainer(OwnRollouts):
    """Takes what GRPOTrainer takes, and ``ppo``."""

    def __init__(self, *args: Any, ppo: PPO, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.ppo, self.coefficient = ppo, ppo.kl_start
        self._sums: defaultdict[str, float] = defaultdict(float)
        # a part of the model, so that the optimizer, the gradient's norm and zero_grad see it; never saved with it
        model: Any = self.model
        model.value_head = ValueHead(model.config.get_text_config().hidden_size, self.accelerator.device)

    # ---- a rollout ----------------------------------------------------------------------------------------------

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, torch.Tensor]:
        prompts = [row["prompt"] for row in inputs]
        prompt_ids, answer_ids, _, answers, *_ = self._generate(prompts)
        scores = self._scores(inputs, prompts, answers, answer_ids)
        with self._timed("values"), torch.no_grad():
            drawn = self._padded(prompt_ids, answer_ids)
            logps, _, values = self._look(self.model, drawn)
            reference = self._reference(drawn)
        mask = drawn["completion_mask"]
        kl = kl_tokens(logps, reference, mask)
        advantages, returns = self._advantages(scores, kl, values, mask)
        self._move_price(masked_mean(kl, mask).item())
        self._tell("value", masked_mean(values, mask).item())
        self._tell("value_explained", explained(values, returns, mask).item())
        return {**drawn, "old_logps": logps, "old_values": values, "advantages": advantages, "returns": returns}

    def _advantages(
        self, scores: torch.Tensor, kl: torch.Tensor, values: torch.Tensor, mask: torch.Tensor
    ) -> tuple[torch.Tensor, torch.Tensor]:
        """Token advantages and returns, (answers, tokens)."""
        rewards = token_rewards(scores, kl, self.coefficient, mask)
        if self.ppo.whiten_rewards:
            rewards = whiten(rewards, mask, shift_mean=False)
        advantages, returns = gae(rewards, values, mask, self.ppo.gamma, self.ppo.lam)
        # answers that all earned the same tell nothing: what is left, the divergence's noise and the values' errors,
        # would be blown up to variance 1, and the policy moved by it as far as by a true signal
        if bool((scores == scores[0]).all()):
            return torch.zeros_like(advantages), returns
        return whiten(advantages, mask), returns

    def _move_price(self, kl: float) -> None:
        self._tell("kl", kl)
        self._tell("kl_coefficient", self.coefficient)  # that this rollout was priced with
        self.coefficient = next_coefficient(self.coefficient, kl, self.ppo.kl_target)

    def _look(self, model: Any, drawn: dict[str, torch.Tensor]) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Log-probability, entropy and value of each token of the answers, (answers, tokens)."""
        ids, mask, count = self._joined(drawn)
        size = self.args.per_device_train_batch_size
        with self._heard() as heard:
            logps, entropies, _ = self._get_per_token_logps_and_entropies(
                model, ids, mask, count, batch_size=size, compute_entropy=True
            )
        # V_t is what is expected before token t is drawn, so it is read at the token before it
        hidden = torch.cat([one[:, -count - 1 : -1] for one in heard])
        head: ValueHead = self.accelerator.unwrap_model(model).value_head
        return logps, entropies, head(hidden) * drawn["completion_mask"]

    @contextlib.contextmanager
    def _heard(self) -> Iterator[list[torch.Tensor]]:
        """The backbone's hidden states, one tensor a forward: TRL's fused head gives none back."""
        heard: list[torch.Tensor] = []
        backbone = causal_lm(self.accelerator.unwrap_model(self.model)).base_model
        handle = backbone.register_forward_hook(lambda _, __, out: heard.append(out.last_hidden_state))
        try:
            yield heard
        finally:
            handle.remove()

    # ---- a step -------------------------------------------------------------------------------------------------

    def _prepare_inputs(self, generation_batch: Any) -> dict[str, torch.Tensor]:
        """TRL's: the part of the rollout whose turn it is; and the tokens of the step that it is a part of."""
        inputs: Any = super()._prepare_inputs(generation_batch)
        parts: Any = self._buffered_inputs
        size = self.args.gradient_accumulation_steps
        first = self._step % self.args.steps_per_generation // size * size
        total = torch.stack([part["completion_mask"].sum() for part in parts[first : first + size]]).sum()
        return {**inputs, "step_tokens": total}

    def _compute_loss(self, model: Any, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
        logps, entropies, values = self._look(model, inputs)
        mask, total = inputs["completion_mask"], inputs["step_tokens"]
        policy = policy_loss(logps, inputs["old_logps"], inputs["advantages"], mask, self.ppo.clip, total)
        value = value_loss(values, inputs["old_values"], inputs["returns"], mask, self.ppo.value_clip, total)
        for name, number in {
            "policy_loss": policy.value,
            "value_loss": value.value,
            "clipped": policy.clipped,
            "value_clipped": value.clipped,
            "entropy": (entropies * mask).sum() / total,
        }.items():
            self._sums[name] += number.item()
        return policy.value + self.ppo.value_coefficient * value.value

    # ---- what is told, and what is kept -------------------------------------------------------------------------

    def log(self, logs: dict[str, float], start_time: float | None = None) -> None:
        if "loss" in logs:  # of a step; the last log is of the whole training
            logs |= self._sums
            self._sums.clear()
        super().log(logs, start_time)

    def _save(self, output_dir: Any = None, state_dict: Any = None) -> None:
        """The policy alone: whoever loads it has no use for the value head."""
        states = state_dict or self.accelerator.unwrap_model(self.model).state_dict()
        policy = {name: tensor for name, tensor in states.items() if not name.startswith(f"{_HEAD}.")}
        super()._save(output_dir, state_dict=policy)

    def _own(self) -> tuple[dict[str, torch.Tensor], dict[str, float]]:
        head: ValueHead = self.accelerator.unwrap_model(self.model).value_head
        return head.state_dict(), {"coefficient": self.coefficient}

    def _take_own(self, tensors: dict[str, torch.Tensor], numbers: dict[str, float]) -> None:
        self.accelerator.unwrap_model(self.model).value_head.load_state_dict(tensors)
        self.coefficient = numbers["coefficient"]
