"""The machine the night runs on: its accelerators where PyTorch sees some, else its CPU."""

import os
import signal
import subprocess
import sys
from collections import deque

import psutil
from pydantic import Field

from infra.accelerators import probe
from infra.attempts import Device
from infra.errors import PoolError
from infra.events import parse
from infra.hardware import Hardware, hardware_book
from infra.pools.base import KILLED, OnEvent, Pool, Program
from infra.settings import ROOT, load_settings, program_environment

_TAIL_LINES = 25
_STOP_SECONDS = 60.0  # a training that is asked to end writes a checkpoint within 30


class LocalPool(Pool):
    """Runs programs as child processes of the night."""

    _block_type_name = "Nightshift local pool"
    _block_type_slug = "nightshift-local-pool"
    _description = "The machine the night runs on; its accelerators if it has some, else its CPU."

    processes: int = Field(default=1, ge=1, description="Training processes: one an accelerator; 1 on a CPU.")

    share_weights: bool = Field(
        default=False, description="Share weights among the processes (FSDP2), for models too large for one."
    )

    def shares_weights(self) -> bool:
        return self.share_weights and self.processes > 1

    def device(self) -> Device:
        found = probe()
        count = self.processes if found.names else 1
        return Device(pool="local", kind=found.kind, count=count, accelerator=bool(found.names))

    def hardware(self) -> Hardware | None:
        kind = self._known()
        return None if kind is None else hardware_book().of(kind)

    def device_kind(self) -> str:
        return self._known() or self.device().kind

    def _known(self) -> str | None:
        """Its accelerator in the hardware book, by the driver's name."""
        names = probe().names
        return hardware_book().kind_of(names[0]) if names else None

    def memory_bytes(self) -> int:
        found = probe()
        return found.memory_bytes if found.names else psutil.virtual_memory().available

    def check(self) -> list[str]:
        found = probe()
        if found.names and self.processes > len(found.names):
            return [f"the pool asks for {self.processes} accelerators, this machine has {len(found.names)}"]
        return []

    def run(self, program: Program, on_event: OnEvent) -> None:
        log = program.folder / "output.log"
        environment = program_environment(load_settings())
        tail: deque[str] = deque(maxlen=_TAIL_LINES)
        with log.open("w") as output, _started(self._command(program), environment) as process:
            assert process.stdout is not None
            for line in process.stdout:
                event = parse(line)
                if event is not None:
                    on_event(event)
                else:
                    output.write(line)
                    tail.append(line)
        if process.returncode != 0:
            raise PoolError(
                f"{program.module} ended with exit code {process.returncode} ({_meaning(process.returncode)}); "
                f"its last output:\n{''.join(tail)}",
                do=f"read {log}, mend the cause and run the night again: finished steps are reused",
            )

    def _command(self, program: Program) -> list[str]:
        processes = self.processes if program.distributed and probe().names else 1
        return [sys.executable, *_launcher(processes), "-m", program.module, program.spec, program.result]


def _launcher(processes: int) -> list[str]:
    """torchrun's options for several processes; one needs no launcher, and a signal reaches it at once."""
    if processes == 1:
        return []
    return ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]


class _started:
    """A child process in a group of its own that never outlives the ``with`` block."""

    def __init__(self, command: list[str], environment: dict[str, str]) -> None:
        self._process = subprocess.Popen(
            command,
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,  # held open; the program ends when we do (infra.events.die_with_parent)
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            errors="replace",
            start_new_session=True,
        )

    def __enter__(self) -> subprocess.Popen[str]:
        return self._process

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is not None:
            self._signal(signal.SIGTERM)
        try:
            self._process.wait(_STOP_SECONDS if kind is not None else None)
        except subprocess.TimeoutExpired:
            self._signal(signal.SIGKILL)
            self._process.wait()

    def _signal(self, number: signal.Signals) -> None:
        try:
            os.killpg(self._process.pid, number)
        except ProcessLookupError:
            return


def _meaning(code: int) -> str:
    if code in (-signal.SIGKILL, 128 + signal.SIGKILL):
        return KILLED
    return f"signal {-code}" if code < 0 else "its own error"
