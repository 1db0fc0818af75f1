"""Lengths in tokens of the model's own tokenizer."""

import pyarrow as pa
from tokenizers import Tokenizer


def compute(rows: pa.Table, tokenizer: str) -> pa.Table:
    """``prompt_tokens``, ``chosen_tokens`` and ``rejected_tokens``, without special tokens.

    Args:
        tokenizer: path of a ``tokenizer.json``.
    """
    model = Tokenizer.from_file(tokenizer)
    counts = {}
    for name in ("prompt", "chosen", "rejected"):
        encoded = model.encode_batch_fast(rows[f"{name}_text"].to_pylist(), add_special_tokens=False)
        counts[f"{name}_tokens"] = pa.array([len(one.ids) for one in encoded], pa.int64())
    return pa.table(counts)
