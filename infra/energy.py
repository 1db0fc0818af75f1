"""Energy of one attempt, measured through Zeus where the machine has meters (NVIDIA, AMD, Intel RAPL), else None.

None means "nobody measured it": the bill then estimates it from the price book's watts and says so. Of accelerators the
counters of those that this process holds are read, all of them or none: a part of the energy is no measurement.
"""

import logging
from pathlib import Path
from typing import Any

from infra.settings import visibility_variables
from infra.visible import Visible, visible_devices

_JOULES_PER_KWH = 3.6e6

_log = logging.getLogger("nightshift")


class EnergyMeter:
    def __init__(self, monitor: Any | None) -> None:
        self._monitor = monitor

    @classmethod
    def start(cls, accelerator: bool, devices: int | None = None) -> "EnergyMeter":
        """Begin to measure.

        Args:
            devices: how many of the visible accelerators are held, the first ones; None: all.
        """
        monitor = _accelerators(devices) if accelerator else _processors()
        if monitor is not None:
            monitor.begin_window("attempt", sync_execution=False)
        return cls(monitor)

    def stop(self) -> float | None:
        """kWh since the start, or None where nothing measures it."""
        if self._monitor is None:
            return None
        from zeus.exception import ZeusBaseError

        try:
            measured = self._monitor.end_window("attempt", sync_execution=False)
        except ZeusBaseError as error:  # a device that was lost takes its counter along
            return _none(str(error))
        parts = [*measured.gpu_energy.values(), *(measured.cpu_energy or {}).values()]
        # a counter that stood still, or that began anew after a reset, has counted nothing
        return sum(parts) / _JOULES_PER_KWH if parts and all(joules > 0 for joules in parts) else None


def _processors() -> Any | None:
    """Without RAPL Zeus is skipped altogether: importing it costs seconds."""
    if not Path("/sys/class/powercap/intel-rapl").exists():
        return None
    from zeus.exception import ZeusBaseError
    from zeus.monitor import ZeusMonitor

    logging.getLogger("zeus").setLevel(logging.ERROR)
    try:
        return ZeusMonitor(gpu_indices=[])
    except (ZeusBaseError, PermissionError) as error:
        return _none(str(error))


def _accelerators(devices: int | None) -> Any | None:
    """A monitor of the devices held and of nothing else: processors belong to everybody on the machine."""
    from zeus.device.gpu import AMDGPUs, get_gpus
    from zeus.device.gpu.nvidia import nvml_is_available
    from zeus.exception import ZeusBaseError
    from zeus.monitor import ZeusMonitor

    logging.getLogger("zeus").setLevel(logging.ERROR)
    seen = visible_devices("nvidia" if nvml_is_available() else "amd", visibility_variables())
    if seen.problem is not None:
        return _none(seen.problem)
    if seen.uuids is not None:
        return _none("Zeus knows devices by number, not by UUID")
    try:
        gpus = get_gpus()
        indices = _indices(seen, len(gpus), rocr=isinstance(gpus, AMDGPUs))[:devices]
        if not indices or not all(gpus.supports_get_total_energy_consumption(one) for one in indices):
            return _none("not every device has an energy counter that can be trusted")
        return ZeusMonitor(gpu_indices=indices, cpu_indices=[])
    except (ZeusBaseError, PermissionError, IndexError) as error:
        return _none(str(error))


def _indices(seen: Visible, count: int, *, rocr: bool) -> list[int]:
    """As Zeus numbers what it found. It honours CUDA's and HIP's variable by itself, and ROCR's not."""
    if rocr and seen.numbers is not None and "ROCR_VISIBLE_DEVICES" in visibility_variables():
        return list(seen.numbers)
    return list(range(count))


def _none(why: str) -> None:
    _log.warning("no energy meter: %s; energy will be estimated", why)
