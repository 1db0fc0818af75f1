"""How fast a device is, in floating-point operations a second: what earlier nights measured there, else a formula.

The formula is the hardware book's peak times the share of it that a training is assumed to reach. Every training adds
a line to ``HOME/speed/<kind>.jsonl``: what it took, and what was forecast for it. So each forecast says how wrong such
forecasts have been so far (docs/design/plan.md).
"""

import json
import statistics
import time
from pathlib import Path
from typing import Literal, NamedTuple

from pydantic import ValidationError

from infra.digest import Record
from infra.hardware import Hardware
from tasks.errors import PlanError

NIGHTS = 10  # the newest that a forecast goes by


class Assumed(NamedTuple):
    """What is taken for granted until a night has measured it."""

    share: float  # of the peak, in model FLOPs: padding, repeated prefixes and idle time are what is missing to 1
    error: float  # by how much the time may be off
    source: str


ASSUMED: dict[str, Assumed] = {
    "nvidia": Assumed(
        0.21,
        0.3,
        "1B, full, packed on one H200: 69.4 pairs/s, 0.26 of 989 TFLOP/s (benchmarks/results/dpo.md). A prototype on "
        "one H100-class GPU: 56.7 pairs/s (1B, full) and 10.2 pairs/s (8B, LoRA), 0.21 and 0.16 where its pairs were "
        "those of benchmarks/dpo.py. Pretraining of Llama 3.1 8B on long sequences reaches 0.33 to 0.39 on H100s "
        "(torchtitan's report on them, December 2024)",
    ),
    "amd": Assumed(0.21, 0.5, "NVIDIA's share, for want of a measurement: nothing of ours has trained on ROCm yet"),
}
# operations a second of two server cores: 0.354 pairs/s of 555 tokens, 135M LoRA (benchmarks/results/dpo.md)
CPU_FLOPS = 1.13e11
CPU_ERROR = 0.5  # laptops and servers differ by more than that, but the first night measures it
UNKNOWN_FLOPS, UNKNOWN_ERROR = 8e13, 1.0  # an accelerator that the hardware book has not

# of the peak bandwidth, where weights are read once a token: a copy kernel reaches 4.11 of 5.3 TB/s on an MI300X
# (Azure's AI benchmarking guide, ND MI300X v5 results); assumed for all
BANDWIDTH_SHARE = 0.78


class Training(Record):
    """One line of the history."""

    at: float  # seconds since the epoch
    flops: float
    seconds: float
    devices: int
    forecast: float  # operations a second and device, as forecast that night
    source: Literal["formula", "calibrated"]

    @property
    def rate(self) -> float:
        return self.flops / self.seconds / self.devices


class Rate(Record):
    """Operations a second of one device, and how wrong a time forecast by it may be.

    Attributes:
        error: the largest error of a forecast by earlier nights so far, as a share of the time; an assumption where
            there is no such forecast yet.
        nights: trainings that were measured on this kind of device and are gone by.
    """

    flops: float
    error: float
    nights: int
    source: Literal["formula", "calibrated"]
    tested: bool  # whether the error was seen rather than assumed

    def in_words(self) -> str:
        if self.source == "formula":
            return f"formula ±{self.error:.0%}"
        if not self.tested:
            return f"1 night, ±{self.error:.0%} untested"
        return f"calibrated ±{self.error:.0%}, {self.nights} nights"


def rate(home: Path, kind: str, hardware: Hardware | None) -> Rate:
    """The forecast for a device of this kind: the median of the newest nights, else the formula."""
    return rate_of(history(home, kind), formula(kind, hardware))


def rate_of(past: list[Training], first: Rate) -> Rate:
    """The rate that ``past`` trainings, in their order, and the formula's ``first`` give."""
    if not past:
        return first
    rates = [one.rate for one in past]
    # what each of the newest took, over what the ones before it had forecast, less 1
    off = [
        _median(rates[:index]) / rates[index] - 1
        for index in range(max(1, len(rates) - NIGHTS), len(rates))
    ]  # fmt: skip
    return Rate(
        flops=_median(rates),
        error=max((abs(one) for one in off), default=first.error),
        nights=min(len(rates), NIGHTS),
        source="calibrated",
        tested=bool(off),
    )


def formula(kind: str, hardware: Hardware | None) -> Rate:
    """The rate without any night: peak × assumed share; of a CPU, what two server cores reach."""
    if hardware is not None:
        assumed = ASSUMED[hardware.vendor]
        flops, error = hardware.peak_bf16_tflops * 1e12 * assumed.share, assumed.error
    elif kind == "cpu":
        flops, error = CPU_FLOPS, CPU_ERROR
    else:
        flops, error = UNKNOWN_FLOPS, UNKNOWN_ERROR
    return Rate(flops=flops, error=error, nights=0, source="formula", tested=False)


def remember(home: Path, kind: str, flops: float, seconds: float, devices: int, hardware: Hardware | None) -> None:
    """Add tonight's training to the history: ``flops`` operations by ``devices`` in ``seconds``."""
    if flops <= 0 or seconds <= 0:
        return
    was = rate(home, kind, hardware)
    line = Training(
        at=time.time(), flops=flops, seconds=seconds, devices=devices, forecast=was.flops, source=was.source
    )
    path = _path(home, kind)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("a") as file:
        file.write(line.model_dump_json() + "\n")


def history(home: Path, kind: str) -> list[Training]:
    """All trainings that were measured on devices of this kind, the oldest first.

    Raises:
        PlanError: a line can't be read.
    """
    path = _path(home, kind)
    if not path.is_file():
        return []
    found = []
    for number, line in enumerate(path.read_text().splitlines(), 1):
        try:
            found.append(Training.model_validate(json.loads(line)))
        except (json.JSONDecodeError, ValidationError) as error:
            raise PlanError(
                f"line {number} of {path} is no measured training: {str(error)[:200]}", do="delete the line"
            ) from None
    return found


def _median(rates: list[float]) -> float:
    return statistics.median(rates[-NIGHTS:])


def _path(home: Path, kind: str) -> Path:
    return home / "speed" / f"{kind}.jsonl"
