"""What every pool offers: a device, its memory, a check, and running one program from a spec file to a result file."""

from abc import abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import Any

from prefect.blocks.core import Block

from infra.attempts import Device
from infra.digest import Record
from infra.hardware import Hardware

OnEvent = Callable[[dict[str, Any]], None]

# in the message of a program that was killed: most often the kernel's answer to memory running out
KILLED = "killed, most often by the kernel for memory"


class Program(Record):
    """A module to run as a process of its own: ``python -m MODULE SPEC RESULT``.

    ``distributed`` programs train: one process a device, by torchrun where there are several. Others are one process.
    """

    module: str
    spec: str
    result: str
    distributed: bool = False
    checkpoints: str | None = None  # where it keeps checkpoints; None: it keeps none

    @property
    def folder(self) -> Path:
        return Path(self.spec).parent


class Pool(Block):
    """A named place with devices. Adding one is one file and one line in ``infra.pools.POOLS``."""

    @abstractmethod
    def device(self) -> Device:
        """What a step on this pool holds while it runs."""

    @abstractmethod
    def memory_bytes(self) -> int:
        """Memory one program may use: of the accelerator, or of the machine where it has none."""

    def hardware(self) -> Hardware | None:
        """Its accelerators by the hardware book; None where it has none, or none that the book knows."""
        return None

    def device_kind(self) -> str:
        """What its devices are called wherever pools are compared: by the hardware book, where that knows them."""
        return self.device().kind

    def shares_weights(self) -> bool:
        """Whether its training processes share a model's weights (FSDP2) rather than hold all of them each (DDP)."""
        return False

    @abstractmethod
    def check(self) -> list[str]:
        """What is wrong with the pool, one sentence a problem; empty when it can run."""

    @abstractmethod
    def run(self, program: Program, on_event: OnEvent) -> None:
        """Run the program to its end and hand its events on.

        Raises:
            PoolError: the program failed; the message holds the end of its output and the log's path.
        """
