"""Energy of one attempt, measured through Zeus where the machine has meters (NVIDIA, AMD, Intel RAPL), else None.

None means "nobody measured it": the bill then estimates it from the price book's watts and says so.
"""

import logging
from pathlib import Path
from typing import Any

_JOULES_PER_KWH = 3.6e6


class EnergyMeter:
    def __init__(self, monitor: Any | None) -> None:
        self._monitor = monitor

    @classmethod
    def start(cls, accelerator: bool, devices: int | None = None) -> "EnergyMeter":
        monitor = _zeus(accelerator)
        if monitor is not None:
            monitor.begin_window("attempt", sync_execution=False)
        return cls(monitor)

    def stop(self) -> float | None:
        """kWh since the start, or None where nothing measures it."""
        if self._monitor is None:
            return None
        measured = self._monitor.end_window("attempt", sync_execution=False)
        joules = sum(measured.gpu_energy.values()) + sum((measured.cpu_energy or {}).values())
        return joules / _JOULES_PER_KWH if joules > 0 else None


def _zeus(accelerator: bool) -> Any | None:
    """A Zeus monitor over what this machine can meter, or None.

    A CPU attempt on a machine with neither RAPL nor accelerators skips Zeus altogether: importing it costs seconds.
    """
    if not accelerator and not Path("/sys/class/powercap/intel-rapl").exists():
        return None
    from zeus.exception import ZeusBaseError
    from zeus.monitor import ZeusMonitor

    logging.getLogger("zeus").setLevel(logging.ERROR)
    try:
        return ZeusMonitor(gpu_indices=None if accelerator else [])
    except (ZeusBaseError, PermissionError) as error:
        logging.getLogger("nightshift").warning("no energy meter: %s; energy will be estimated", error)
        return None
