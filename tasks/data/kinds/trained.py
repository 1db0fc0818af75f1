"""What training reads of a row: a pair, or an answer and its label, as TRL names them."""

import json
from typing import Any


def train_row(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the snapshot as a line of the training data.

    A pair: ``{"id", "prompt", "chosen", "rejected"}``. A label: ``{"id", "prompt", "completion", "label"}``. Both with
    ``weight`` where it is below 1: the chance that a night trains on it.

    Args:
        row: ``id`` and, as JSON, ``prompt``, ``chosen``, ``rejected``; ``kind`` and ``weight`` where they are there.
    """
    prompt, chosen, rejected = (json.loads(row[name]) for name in ("prompt", "chosen", "rejected"))
    if row.get("kind", "pair") == "label":
        answer: dict[str, Any] = {"completion": chosen or rejected, "label": bool(chosen)}
    else:
        answer = {"chosen": chosen, "rejected": rejected}
    found = {"id": row["id"], "prompt": prompt, **answer}
    weight = row.get("weight")
    return found if weight is None or weight >= 1 else {**found, "weight": weight}
