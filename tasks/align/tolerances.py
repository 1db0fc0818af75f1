"""How far two devices may lie apart, by the dtype of their products. Measured: docs/design/portability.md."""

from tasks.errors import ReceiptError
from tasks.receipts import Quantity, Tolerance

_EXACT = Tolerance(first=0.0, later=0.0, why="counted, not computed: no rounding goes into it")
_RATE = Tolerance(first=1e-12, later=1e-12, why="computed on the host in double precision, from the recipe alone")


def _nats(first: float, later: float, growth: float, norm: tuple[float, float], why: str) -> dict[Quantity, Tolerance]:
    forward = Tolerance(first=first, later=later, growth=growth, why=why)
    gradient = Tolerance(first=norm[0], later=norm[1], growth=growth, why=f"a gradient's norm: {why}")
    return {
        "loss": forward,
        "logps_chosen": forward,
        "logps_rejected": forward,
        "rewards_chosen": forward,
        "rewards_rejected": forward,
        "rewards_margins": forward,
        "grad_norm": gradient,
        "learning_rate": _RATE,
        "num_tokens": _EXACT,
    }


TOLERANCES: dict[str, dict[Quantity, Tolerance]] = {
    "float32": _nats(
        1e-5,
        2e-5,
        0.2,
        (1e-4, 2e-4),
        "ten times what another order of additions made of it on a CPU: 1e-6 before an update, 2e-6 after",
    ),
    "bfloat16": _nats(
        5e-3,
        1e-2,
        0.05,
        (5e-2, 5e-2),
        "another batch shape made 3e-3 of one answer's log-probability in bf16, less of a batch's mean",
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
