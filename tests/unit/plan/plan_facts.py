"""Facts and prices in round numbers, which the plan's tests change."""

import datetime
from typing import Any

from infra.attempts import Device
from infra.hardware import hardware_book
from infra.price_book import DevicePrice, PriceBook
from tasks.lm.speed import Rate, formula
from tasks.plan.held import Facts
from tasks.plan.memory import Shape

PRICES = PriceBook(
    date=datetime.date(2026, 11, 1),
    currency="EUR",
    source="figures of this test",
    tariff_per_kwh=0.5,
    device={
        "cpu": DevicePrice(rate=2.0, watts=100, pays_power=True),
        "mi300x": DevicePrice(rate=2.0, watts=750, pays_power=True),
        "h100": DevicePrice(rate=3.0, watts=700, pays_power=False),
    },
)

SMOLLM2_135M = Shape(
    parameters=134_515_008,
    hidden=576,
    intermediate=1536,
    layers=30,
    query_width=576,
    key_width=192,
    vocabulary=49152,
)
LLAMA_8B = Shape(
    parameters=8_030_261_248,
    hidden=4096,
    intermediate=14336,
    layers=32,
    query_width=4096,
    key_width=1024,
    vocabulary=128256,
)


def speed(flops: float) -> Rate:
    return Rate(flops=flops, error=0.05, nights=4, source="calibrated", tested=True)


def facts(**changes: Any) -> Facts:
    """The demo on a desktop, in round numbers."""
    values = {
        "new_pairs": 470, "train_pairs": 470, "house_items": 160, "gate_items": 640, "shape": SMOLLM2_135M,
        "context": 8192, "mean_prompt_tokens": 100.0, "mean_answer_tokens": 50.0, "mean_item_tokens": 150.0,
        "max_pair_tokens": 400, "max_sequence_tokens": 300, "memory_bytes": 24_000_000_000, "rate": speed(4e10),
        "device": Device(pool="local", kind="cpu", count=1, accelerator=False),
    }  # fmt: skip
    return Facts.model_validate({**values, **changes})


def on_gpus(kind: str = "h100", count: int = 4, **changes: Any) -> Facts:
    """The same data for an 8B model, on a pool of accelerators at the hardware book's rate."""
    hardware = hardware_book().of(kind)
    values: dict[str, Any] = {
        "shape": LLAMA_8B,
        "device": Device(pool=kind, kind=kind, count=count, accelerator=True),
        "hardware": hardware,
        "memory_bytes": int(hardware.memory_gb * 1e9),
        "rate": formula(kind, hardware),
    }
    return facts(**{**values, **changes})
