"""Two LoRA adapters, one trained on top of the other, as one adapter on the model below both.

The later one was trained on the base with the earlier one merged into it: their sum (``tasks.lm.soup``), in fp32, is
one adapter of both ranks, exactly but for rounding. Only programs import this.
"""

from pathlib import Path

from tasks.errors import ModelError
from tasks.lm.adapter_files import read_adapter, write_adapter
from tasks.lm.soup import Adapter, joined


def stack(earlier: Path, later: Path) -> None:
    """Replace the adapter in ``later`` by the sum of both.

    Raises:
        ModelError: one of them is no plain LoRA, or they are of different layers.
    """
    below, above = (_whole(read_adapter(folder)) for folder in (earlier, later))
    found = joined((below, above), (1.0, 1.0))
    if below.weights.keys() != above.weights.keys():
        odd = sorted(below.weights.keys() ^ above.weights.keys())[0]
        raise ModelError(
            f"the phases' adapters can't be added up: {odd} is in one of them only",
            do='train all phases of the recipe with the same code, or take adapter = "full"',
        )
    write_adapter(later, found)


def _whole(adapter: Adapter) -> Adapter:
    return Adapter(adapter.config, {name: one.float() for name, one in adapter.weights.items()})
