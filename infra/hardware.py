"""Dated hardware books: what an accelerator is, and where the figures are from."""

import datetime
import functools
import tomllib
from pathlib import Path
from typing import Literal

from pydantic import Field, ValidationError

from infra.digest import Record
from infra.errors import HardwareError
from infra.settings import ROOT

BOOK = ROOT / "infra" / "hardware_books" / "2026-11.toml"


class Hardware(Record):
    """One accelerator, by its maker's figures."""

    vendor: Literal["amd", "nvidia"]
    architecture: str = Field(description="as compilers spell it: `gfx950`, `sm_90`")
    memory_gb: float = Field(gt=0, description="10^9 bytes that programs are given")
    bandwidth_tb_s: float = Field(gt=0)
    peak_bf16_tflops: float = Field(gt=0, description="dense")
    board_watts: float = Field(gt=0)
    names: tuple[str, ...] = Field(min_length=1, description="what drivers call it")
    source: str = Field(min_length=5)


class HardwareBook(Record):
    date: datetime.date
    source: str = Field(min_length=10)
    device: dict[str, Hardware]

    def of(self, kind: str) -> Hardware:
        """The accelerator of this kind.

        Raises:
            HardwareError: the book has none; its figures are never guessed.
        """
        if kind not in self.device:
            raise HardwareError(
                f"the hardware book of {self.date} has no accelerator {kind!r}, only {sorted(self.device)}",
                do=f"add [device.{kind}] with its source to {BOOK.name}, or mend the pool's `gpu`",
            )
        return self.device[kind]

    def kind_of(self, name: str) -> str | None:
        """The kind that a driver's name stands for, or None."""
        return next((kind for kind, one in self.device.items() if name in one.names), None)


@functools.cache
def hardware_book(path: Path = BOOK) -> HardwareBook:
    """Read a hardware book.

    Raises:
        HardwareError: it can't be read, or a figure is missing.
    """
    try:
        return HardwareBook.model_validate(tomllib.loads(path.read_text()))
    except (OSError, tomllib.TOMLDecodeError, ValidationError) as error:
        raise HardwareError(f"the hardware book {path} can't be used: {error}", do="mend it") from None
