"""Floating-point operations of a training step: what the work needs, no padding, repeated prefixes or recomputation.

Model FLOPs utilisation is this work over the device's rate in matrix products, which is measured when a training starts
(PaLM, arXiv 2204.02311, appendix B, names the ratio; it takes the rate from a data sheet).
"""

import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # it imports torch, and the plan counts without
    from tasks.lm.layout import Document


@dataclass(frozen=True)
class Work:
    """What a step's cost depends on."""

    tokens: float  # through the layers; whole numbers but in forecasts
    seen: float  # (query, key) pairs that attention looks at
    scored: float  # tokens that the LM head scores


def work_of(documents: "Iterable[Document]") -> Work:
    """The work of documents whose answers are all scored."""
    tokens = seen = scored = 0
    for one in documents:
        tokens += one.length
        seen += one.prefix * (one.prefix + 1) // 2
        for length in one.branches:
            seen += one.prefix * length + length * (length + 1) // 2
            scored += length
    return Work(tokens, seen, scored)


def step_flops(
    work: Work, layers: int, layer_parameters: int, head_parameters: int, heads_width: int, full: bool
) -> float:
    """Operations of forward and backward pass.

    A matrix product costs 2 operations a parameter and token forward, as many for the gradient of its input, and, where
    its weight is trained, as many again for the weight's. An adapter's own products are left out: some percent.

    Args:
        layer_parameters: of all layers together, without embeddings and head.
        heads_width: attention heads × width of one; scores and weighted values cost 2 operations each a pair seen.
        full: whether the weights themselves are trained.
    """
    passes = 6 if full else 4
    attention = 3 * 2 * 2 * layers * heads_width * work.seen  # forward once, backward twice
    return passes * (layer_parameters * work.tokens + head_parameters * work.scored) + attention


def forward_flops(work: Work, layers: int, layer_parameters: int, head_parameters: int, heads_width: int) -> float:
    """Operations of a forward pass alone; arguments as ``step_flops``'."""
    attention = 2 * 2 * layers * heads_width * work.seen
    return 2 * (layer_parameters * work.tokens + head_parameters * work.scored) + attention


def training_flops(work: Work, sizes: dict[str, int], *, full: bool, recomputed: bool) -> float:
    """A step's operations as the device computes them: with the forward pass again where activations are recomputed.

    Args:
        sizes: ``model_sizes``.
    """
    return step_flops(work, **sizes, full=full) + (forward_flops(work, **sizes) if recomputed else 0.0)


def model_sizes(model: Any) -> dict[str, int]:
    """``step_flops``' arguments that are the model's."""
    config = model.config.get_text_config()
    output = model.get_output_embeddings()
    embedding = model.get_input_embeddings().weight
    total = sum(one.numel() for name, one in model.named_parameters() if "lora_" not in name)
    width = getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
    head = None if output is None else output.weight  # a classifier has none
    others = embedding.numel() + (0 if head is None or head is embedding else head.numel())
    return {
        "layers": config.num_hidden_layers,
        "layer_parameters": total - others,
        "head_parameters": 0 if head is None else head.numel(),
        "heads_width": width * config.num_attention_heads,
    }


def matmul_rate(device: str, dtype: Any, seconds: float = 0.3) -> float:
    """Operations per second of large matrix products on this device: the best of a short while's tries."""
    import torch

    size = 1024 if device == "cpu" else 8192
    left, right = (torch.randn(size, size, device=device).to(dtype) for _ in range(2))
    best = 0.0
    until = time.perf_counter() + seconds
    while time.perf_counter() < until or best == 0.0:
        began = time.perf_counter()
        _ = left @ right
        if device != "cpu":
            torch.cuda.synchronize()
        best = max(best, 2 * size**3 / (time.perf_counter() - began))
    return best
