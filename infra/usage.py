"""What one job used, metered inside it: energy, share of busy device time, memory at its fullest."""

import threading

from infra.digest import Record
from infra.energy import EnergyMeter
from infra.gauges import Gauges, find_gauges

_LOOK_SECONDS = 5.0


class Usage(Record):
    """None: nothing there measures it."""

    kwh: float | None
    meter: str | None
    busy: float | None  # mean share of time in which a device computed, over all devices
    peak_memory_bytes: int | None  # of the fullest device


NO_USAGE = Usage(kwh=None, meter=None, busy=None, peak_memory_bytes=None)


class UsageMeter:
    """Looks every few seconds, from its start to its stop."""

    def __init__(self, energy: EnergyMeter, gauges: Gauges, seconds: float = _LOOK_SECONDS) -> None:
        self._energy, self._gauges, self._seconds = energy, gauges, seconds
        self._stop = threading.Event()
        self._busy: list[float] = []
        self._peak: int | None = None
        self._thread = threading.Thread(target=self._look, daemon=True)

    @classmethod
    def start(cls, *, accelerator: bool, devices: int | None = None, seconds: float = _LOOK_SECONDS) -> "UsageMeter":
        """Begin to look at the visible accelerators, or at the first ``devices`` of them."""
        gauges = find_gauges(accelerator=accelerator, devices=devices)
        meter = cls(EnergyMeter.start(accelerator, devices), gauges, seconds)
        meter._thread.start()
        return meter

    def _look(self) -> None:
        while not self._stop.wait(self._seconds):
            self.sample()

    def sample(self) -> None:
        busy, memory = self._gauges.read()
        if busy is not None:
            self._busy.append(busy)
        if memory is not None:
            self._peak = max(memory, self._peak or 0)

    def stop(self) -> Usage:
        self._stop.set()
        self._thread.join()
        self.sample()
        kwh = self._energy.stop()
        return Usage(
            kwh=kwh,
            meter="zeus" if kwh is not None else None,
            busy=sum(self._busy) / len(self._busy) if self._busy else None,
            peak_memory_bytes=self._peak,
        )
