"""Weights as a GGUF type stores them: what a llama.cpp server computes with, judged before it serves.

gguf's own quantisation, block by block, and back: the model then holds the numbers that the file would hold. One
dimension (norms, biases) stays as it is, as in llama.cpp.
"""

from typing import Any

from tasks.errors import ModelError


def put_through(model: Any, type_name: str) -> int:
    """Replace every matrix of the model by what is left of it after quantisation to ``type_name`` (e.g. ``Q8_0``).

    Returns:
        how many matrices were replaced; a tied embedding and head count once.

    Raises:
        ModelError: a matrix's rows don't divide into the type's blocks.
    """
    import torch
    from gguf import GGML_QUANT_SIZES, GGMLQuantizationType
    from gguf.quants import dequantize, quantize

    kind = GGMLQuantizationType[type_name]
    block, _ = GGML_QUANT_SIZES[kind]
    done = 0
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim != 2:
                continue
            if weight.shape[1] % block:
                raise ModelError(
                    f"{name} has rows of {weight.shape[1]}, which {type_name}'s blocks of {block} don't divide",
                    do="unset serve.quantise for this model",
                )
            values = weight.float().cpu().numpy()
            kept = dequantize(quantize(values, kind), kind)
            weight.copy_(torch.from_numpy(kept).reshape(weight.shape).to(weight))
            done += 1
    return done
