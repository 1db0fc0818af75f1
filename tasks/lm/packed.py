"""The packed forward: a decoder's hidden states over a packed layout, and the check that a model allows it.

``score`` and ``align`` share it; what TRL needs of it is in ``tasks/align/packed_forward.py``.
"""

from collections.abc import Sequence
from typing import Any

import torch

from tasks.lm import plain
from tasks.lm.attention import NAME, Attending, register
from tasks.lm.head import Scored, Shape, score_tokens, shape_of
from tasks.lm.layout import Document, Layout, lay_out, pack_pairs
from tasks.lm.plain import Branched

# decoders of transformers 5 that hand their sliding window, scaling and score cap to the attention function, and their
# keyword arguments through every layer; each is compared with its own forward in tests/unit/lm/test_packed.py
UNDERSTOOD = ("llama", "qwen2", "qwen3", "mistral", "gemma", "gemma2", "gemma3_text", "smollm3", "olmo2", "phi3")
PROBE_TOLERANCE = {torch.float32: 1e-3, torch.bfloat16: 0.15, torch.float16: 0.05}  # nats a token


def backbone(model: Any) -> Any:
    """The transformer without its LM head, also inside a PEFT model."""
    return causal_lm(model).get_decoder()


def causal_lm(model: Any) -> Any:
    """The causal LM itself, without PEFT's wrapper."""
    return model.get_base_model() if hasattr(model, "get_base_model") else model


def why_not_packed(model: Any) -> str | None:
    """Why this model can't be packed; None when it can. Cheap: looks at the configuration only."""
    config = causal_lm(model).config.get_text_config()
    kind = config.model_type
    if kind not in UNDERSTOOD:
        return f"its architecture {kind!r} is none of {', '.join(UNDERSTOOD)}"
    if shape_of(config) is None:
        return "its LM head scales logits by a factor of its own"
    if getattr(config, "attention_dropout", 0.0):  # whether or not it is in training mode yet: it is packed before
        return "it has attention dropout"
    if getattr(model, "active_peft_config", None) is not None and model.active_peft_config.is_prompt_learning:
        return "its adapter is a learned prompt"
    return None


def enable(model: Any) -> None:
    """Switch the model's attention to ours; called without a layout, it computes as SDPA."""
    register()
    causal_lm(model).set_attn_implementation(NAME)


def is_enabled(model: Any) -> bool:
    """Whether the model was switched with ``enable``."""
    return causal_lm(model).config._attn_implementation == NAME


def switch(model: Any) -> str | None:
    """Switch a model that is understood and agrees with its own forward; of any other say why not, and leave it be."""
    reason = why_not_packed(model)
    if reason is not None:
        return reason
    before = causal_lm(model).config._attn_implementation
    enable(model)
    reason = why_it_differs(model)
    if reason is not None:
        causal_lm(model).set_attn_implementation(before)
    return reason


def hidden_states(model: Any, ids: torch.Tensor, layout: Layout, **kwargs: Any) -> torch.Tensor:
    """Last hidden states (tokens, width) of the packed token ids (tokens,).

    The model must have been switched with ``enable``; a PEFT model's active adapter takes part.
    """
    out = backbone(model)(
        input_ids=ids[None],
        # of four dimensions: transformers takes it as a mask that is ready, and builds none
        attention_mask=ids.new_zeros((1, 1, 1, 1), dtype=torch.bool),
        position_ids=layout.positions[None],
        use_cache=False,
        attending=Attending(layout),
        **kwargs,
    )
    return out.last_hidden_state[0]


def score_positions(model: Any, hidden: torch.Tensor, targets: torch.Tensor, extras: tuple[str, ...] = ()) -> Scored:
    """Score ``targets`` (tokens,) behind hidden states (tokens, width) with the model's LM head."""
    head = causal_lm(model).get_output_embeddings()
    shape = shape_of(causal_lm(model).config) or Shape()
    return score_tokens(hidden, head.weight, head.bias, targets, shape, extras)


@torch.no_grad()
def branch_logprobs(model: Any, items: Sequence[Branched]) -> list[list[torch.Tensor]]:
    """Per-token log-probabilities in nats of every branch behind its prefix, without gradient, as one packed sequence.

    The same as ``plain.branch_logprobs``, for a model that was switched with ``enable`` or ``switch``.

    Returns:
        for each item, for each branch, float32 of shape (tokens of the branch,) on the CPU; behind an empty prefix
        the branch's first token is predicted by nothing and left out.
    """
    if not items:
        return []
    device = next(model.parameters()).device
    layout = lay_out([Document(len(prefix), tuple(map(len, branches))) for prefix, branches in items])
    ids = torch.tensor(
        [token for prefix, branches in items for part in (prefix, *branches) for token in part], dtype=torch.long
    )
    sources, targets, lengths = _predictions(layout)
    hidden = hidden_states(model, ids.to(device), layout.to(device))
    scored = score_positions(model, hidden[sources.to(device)], ids[targets].to(device))
    parts = iter(scored.log_probs.float().cpu().split(lengths))
    return [[next(parts) for _ in branches] for _, branches in items]


def _predictions(layout: Layout) -> tuple[torch.Tensor, torch.Tensor, list[int]]:
    """Where each branch's tokens are predicted, where they stand themselves, and how many there are a branch."""
    sources, targets, lengths = [], [], []
    for start, one in zip(layout.starts, layout.documents, strict=True):
        begin = start + one.prefix
        for length in one.branches:
            # behind no prefix, the first token is predicted by nothing: left out, as in TRL
            chain = [*range(start, start + one.prefix)[-1:], *range(begin, begin + length)]
            sources += chain[:-1]
            targets += chain[1:]
            lengths.append(len(chain[1:]))
            begin += length
    return torch.tensor(sources, dtype=torch.long), torch.tensor(targets, dtype=torch.long), lengths


def why_it_differs(model: Any) -> str | None:
    """Compare the packed forward with the model's own on a small made-up pair; None when they agree.

    The last guard against a model that looks understood and isn't: run once, before training or scoring, in the
    number format of both (the caller's autocast, where there is one, else the weights').
    """
    config = causal_lm(model).config.get_text_config()
    numbers = torch.Generator().manual_seed(0)
    prompt, chosen, rejected = (
        torch.randint(0, config.vocab_size, (count,), generator=numbers).tolist() for count in (13, 7, 5)
    )
    pair: Branched = (prompt, (chosen, rejected))
    was = model.training
    model.eval()
    try:
        for ours, theirs in zip(
            branch_logprobs(model, [pair])[0], plain.branch_logprobs(model, [pair])[0], strict=True
        ):
            gap = float((ours - theirs).abs().mean())
            if not gap <= PROBE_TOLERANCE.get(_number_format(model), 1e-3):
                return f"packed and plain log-probabilities differ by {gap:.2g} nats a token"
    finally:
        model.train(was)
    return None


def _number_format(model: Any) -> torch.dtype:
    """What the model's matrix products are computed in, here and now."""
    kind = model.device.type
    return torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else model.dtype


__all__ = [
    "backbone",
    "branch_logprobs",
    "causal_lm",
    "enable",
    "hidden_states",
    "is_enabled",
    "pack_pairs",
    "score_positions",
    "switch",
    "why_it_differs",
    "why_not_packed",
]
