"""How far two devices may lie apart, by the dtype of their products. Measured: docs/design/portability.md."""

from tasks.errors import ReceiptError
from tasks.receipts import Quantity, Tolerance

_EXACT = Tolerance(first=0.0, later=0.0, why="counted, not computed: no rounding goes into it")
_RATE = Tolerance(first=1e-12, later=0.0, why="computed on the host in double precision, from the recipe alone")


_GROWTH = 1.25  # a step: about what 20 steps of an unstable training showed, in fp32 and in bf16; a stable one has none


def _nats(answers: tuple[float, float], gradient: tuple[float, float], why: str) -> dict[Quantity, Tolerance]:
    """Tolerances of a dtype: shares of the forward pass, and of what an update adds."""
    forward = Tolerance(first=answers[0], later=answers[1], growth=_GROWTH, why=why)
    norm = Tolerance(first=gradient[0], later=gradient[1], growth=_GROWTH, why=why)
    return {
        "loss": forward,
        "logps_chosen": forward,
        "logps_rejected": forward,
        "rewards_chosen": forward,
        "rewards_rejected": forward,
        "rewards_margins": forward,
        "grad_norm": norm,
        "learning_rate": _RATE,
        "num_tokens": _EXACT,
    }


TOLERANCES: dict[str, dict[Quantity, Tolerance]] = {
    "float32": _nats(
        (1e-5, 2e-6),
        (2e-5, 2e-5),
        "another order of additions made 1e-6 of an answer's log-probability, and 1e-5 of a gradient's norm "
        "after 8 updates",
    ),
    "bfloat16": _nats(
        (5e-3, 5e-4),
        (3e-2, 2e-2),
        "another batch shape made 3e-3 of one answer's log-probability, another packing 0.2 of a gradient's norm "
        "after 20 updates of a small model at a high learning rate",
    ),
}


def tolerances_for(computed: str) -> dict[Quantity, Tolerance]:
    """The tolerances of a dtype.

    Raises:
        ReceiptError: none are stated for it.
    """
    if computed not in TOLERANCES:
        raise ReceiptError(
            f"no tolerance is stated for products in {computed}, only for {', '.join(TOLERANCES)}",
            do="measure what rounding does in it and add it to tasks/align/tolerances.py",
        )
    return TOLERANCES[computed]
