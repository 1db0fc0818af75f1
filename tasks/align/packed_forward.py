"""Give the packed forward to the model of a TRL DPOTrainer, which itself stays as it is.

TRL asks its model for per-token log-probabilities (``model(..., labels=..., fused_lm_head=True)``). We answer that
call: pack the padded batch, run the backbone over it once, score completion positions only, and hand the values back
in TRL's padded shape. Losses, metrics, LoRA and gradient checkpointing are TRL's and PEFT's, untouched. Any other
call, and any model that is not understood, takes the way it took before.
"""

import functools
import types
from typing import Any, cast

import torch
from trl.kernels import ChunkedLogProbFunction
from trl.trainer.utils import FusedCausalLMOutput

from infra.events import emit
from tasks.lm.head import EXTRAS, Scored
from tasks.lm.packed import causal_lm, hidden_states, pack_pairs, score_positions, switch

_IGNORED = -100
# what a call may bring to be answered packed; anything else asks for something that TRL's own forward knows
_NEEDED, _FOLLOWED = {"input_ids", "attention_mask"}, {"use_cache"}
_WORDS = 32768  # of a tile of TRL's kernel, as TRL itself calls it


def pack_forward(model: Any, extras: tuple[str, ...] = EXTRAS[:3]) -> str | None:
    """Answer TRL's calls of this model packed from now on; says once why not, and returns it, where that can't be.

    Call it when the trainer is built: TRL has put its own fused head on the model by then.
    """
    reason = switch(model)
    if reason is not None:
        emit("log", text=f"TRL's own forward is used, packing is off for this model: {reason}")
        return reason
    inner = causal_lm(model)
    trls = inner.forward

    @functools.wraps(type(inner).forward)  # `generate` reads from the signature what it may pass
    def forward(self: Any, *args: Any, fused_lm_head: bool = False, labels: Any = None, **kwargs: Any) -> Any:
        given = {name for name, value in kwargs.items() if value is not None}
        pairs = fused_lm_head and labels is not None and len(labels) % 2 == 0
        if args or not pairs or not _NEEDED <= given <= _NEEDED | _FOLLOWED:
            return trls(*args, fused_lm_head=fused_lm_head, labels=labels, **kwargs)
        return _packed(self, kwargs["input_ids"], kwargs["attention_mask"], cast(torch.Tensor, labels), extras)

    inner.forward = types.MethodType(forward, inner)
    return None


def _packed(
    model: Any, input_ids: torch.Tensor, mask: torch.Tensor, labels: torch.Tensor, extras: tuple[str, ...]
) -> Any:
    """TRL's per-token outputs, (rows, width − 1), zero where nothing is scored."""
    packed = pack_pairs(input_ids, mask)
    hidden = hidden_states(model, input_ids.flatten()[packed.tokens], packed.layout)
    scored_at = labels[:, 1:] != _IGNORED
    sources = packed.packed[:, :-1][scored_at]
    scored = _score(model, hidden[sources], labels[:, 1:][scored_at], extras)

    def padded(values: torch.Tensor | None) -> torch.Tensor | None:
        # masked_scatter keeps the output on the graph also where a batch scores nothing
        return None if values is None else values.new_zeros(scored_at.shape).masked_scatter(scored_at, values)

    log_probs = padded(scored.log_probs)
    assert log_probs is not None
    return FusedCausalLMOutput(
        loss=-log_probs.sum() / scored_at.sum().clamp(min=1),
        log_probs=log_probs,
        entropy=padded(scored.entropy),
        log_sum_sq_probs=padded(scored.log_sum_sq_probs),
        mean_logits=padded(scored.mean_logits),
        is_top1=padded(scored.is_top1),
        label_mask=scored_at,
    )


def _score(model: Any, hidden: torch.Tensor, targets: torch.Tensor, extras: tuple[str, ...]) -> Scored:
    """Our head on a CPU; TRL's kernel, which compiles to Triton, on accelerators."""
    if hidden.device.type == "cpu":
        return score_positions(model, hidden, targets, extras)
    head, config = model.get_output_embeddings(), model.config.get_text_config()
    weight, bias = (
        one.full_tensor() if hasattr(one, "full_tensor") else one for one in (head.weight, head.bias)
    )  # FSDP2 shards them
    cap = getattr(config, "final_logit_softcapping", None)
    found: Any = ChunkedLogProbFunction.apply(
        hidden, weight, bias, targets, 1.0, _WORDS, cap, 1.0, ("log_probs", *extras)
    )
    log_probs, entropy, squares, mean, top = found
    return Scored(log_probs, entropy, mean, top, squares)
