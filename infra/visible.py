"""Which accelerators this process may use, by the variables that hide the others. Pure.

A meter's library sees every device of the machine, whatever a job was given: what it reads of the others is not ours.
"""

from collections.abc import Mapping
from typing import Literal, NamedTuple

Vendor = Literal["nvidia", "amd"]

# of NVIDIA's runtime one variable counts; AMD's honours three, of which each renumbers what the one before left
_VARIABLES: dict[Vendor, tuple[str, ...]] = {
    "nvidia": ("CUDA_VISIBLE_DEVICES",),
    "amd": ("ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "CUDA_VISIBLE_DEVICES"),
}


class Visible(NamedTuple):
    """Devices by the runtime's number on the machine, or by UUID; both None: all of them.

    Attributes:
        problem: why it can't be said which; then nothing is metered.
    """

    numbers: tuple[int, ...] | None = None
    uuids: tuple[str, ...] | None = None
    problem: str | None = None


def visible_devices(vendor: Vendor, variables: Mapping[str, str]) -> Visible:
    """The devices that these variables leave.

    Args:
        variables: those that are set.
    """
    set_ = [name for name in _VARIABLES[vendor] if name in variables]
    if not set_:
        return Visible()
    if len(set_) > 1:
        return Visible(problem=f"{' and '.join(set_)} are set: each renumbers what the other left")
    name, value = set_[0], variables[set_[0]].strip()
    parts = [part.strip() for part in value.split(",")]
    if all(part.isdecimal() for part in parts):
        return Visible(numbers=tuple(int(part) for part in parts))
    if all(part.startswith("GPU-") for part in parts):
        return Visible(uuids=tuple(parts))
    return Visible(problem=f"{name}={value!r} names no whole devices by number or UUID")
