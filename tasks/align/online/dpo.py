"""Online DPO: answers drawn from the policy as it is, ranked by their rewards, the best trained on over the worst.

TRL 1.16 keeps an online DPO apart from its trainers, with a loop of its own. This one is GRPOTrainer's loop, as PPO's
is: the same drawing, rewards, reference, checkpoints and resume (Guo et al. 2024, arXiv 2402.04792).
"""

from typing import Any

import torch

from tasks.align.online.own import Drawn, OwnRollouts
from tasks.align.online.ranking import pair_loss, ranked


class OnlineDPOTrainer(OwnRollouts):
    """Takes what GRPOTrainer takes; ``args.beta`` is DPO's. A part of a step holds whole groups of answers."""

    def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> Drawn:
        """A row a prompt: its best answer (``completion``), its worst (``rejected``), the reference's view of both."""
        prompts = [row["prompt"] for row in inputs]
        prompt_ids, answer_ids, _, answers, *_ = self._generate(prompts)
        scores = self._scores(inputs, prompts, answers, answer_ids)
        group: int = self.args.num_generations
        found = ranked(scores.view(-1, group))
        self._tell("rewards/best", scores.view(-1, group).amax(1).mean().item())
        first = torch.arange(len(found.best), device=scores.device) * group
        with self._timed("values"), torch.no_grad():
            drawn = self._padded(prompt_ids, answer_ids)
            best, worst = ({name: rows[first + at] for name, rows in drawn.items()} for at in (found.best, found.worst))
            reference = self._reference({name: torch.cat([best[name], worst[name]]) for name in drawn})
        mask = torch.cat([best["completion_mask"], worst["completion_mask"]])
        chosen, rejected = (reference * mask).sum(1).chunk(2)
        rejected_rows = {
            f"rejected_{name.removeprefix('completion_')}": worst[name] for name in worst if "comp" in name
        }
        return {
            **best,
            **rejected_rows,
            "reference_chosen": chosen,
            "reference_rejected": rejected,
            "differ": found.differ,
        }

    def _compute_loss(self, model: Any, inputs: Drawn) -> torch.Tensor:
        both = {
            "prompt_ids": inputs["prompt_ids"].repeat(2, 1),
            "prompt_mask": inputs["prompt_mask"].repeat(2, 1),
            "completion_ids": torch.cat([inputs["completion_ids"], inputs["rejected_ids"]]),
            "completion_mask": torch.cat([inputs["completion_mask"], inputs["rejected_mask"]]),
        }
        ids, mask, count = self._joined(both)
        logps, entropies, _ = self._get_per_token_logps_and_entropies(
            model, ids, mask, count, batch_size=len(ids), compute_entropy=True
        )
        drawn = both["completion_mask"]
        chosen, rejected = (logps * drawn).sum(1).chunk(2)
        reference = torch.cat([inputs["reference_chosen"], inputs["reference_rejected"]])
        pairs = self.args.per_device_train_batch_size * self.args.gradient_accumulation_steps // self.num_generations
        loss = pair_loss(
            chosen,
            rejected,
            inputs["reference_chosen"] - inputs["reference_rejected"],
            inputs["differ"],
            self.beta,
            pairs,
        )
        tokens = drawn.sum().clamp(min=1)
        self._tell("rewards/margins", self.beta * loss.margin.item())
        self._tell("rewards/accuracies", loss.accuracy.item())
        self._tell("entropy", ((entropies * drawn).sum() / tokens).item())
        self._tell("kl", (((logps.detach() * drawn).sum(1) - reference).sum() / tokens).item())
        return loss.value
