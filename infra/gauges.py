"""How busy and how full this process's accelerators are, by the makers' libraries; (None, None) where there is none.

MLflow's system metrics are not used: they take 500 W for every AMD device and count hidden devices too.
"""

import contextlib
import io
import logging
from collections.abc import Sequence
from typing import Any, Protocol

from infra.settings import visibility_variables
from infra.visible import Visible, visible_devices

_log = logging.getLogger("nightshift")


class Gauges(Protocol):
    """One look at all devices."""

    def read(self) -> tuple[float | None, int | None]:
        """Mean share of busy time since the last look, and bytes in use on the fullest device."""
        ...


class NoGauges:
    def read(self) -> tuple[float | None, int | None]:
        return None, None


def find_gauges(*, accelerator: bool, devices: int | None = None) -> Gauges:
    """The gauges of this process's accelerators, or of the first ``devices`` of them."""
    if not accelerator:
        return NoGauges()
    return _nvidia(devices) or _amd(devices) or NoGauges()


def summed_up(busy: Sequence[float | None], used: Sequence[int | None]) -> tuple[float | None, int | None]:
    """Mean and maximum of what was read; of a device that tells nothing, the mean of all isn't known."""
    known = [one for one in busy if one is not None]
    return (
        sum(known) / len(known) if known and len(known) == len(busy) else None,
        max((one for one in used if one is not None), default=None),
    )


class NvidiaGauges:
    """By NVML.

    Args:
        nvml: the module ``pynvml``.
    """

    def __init__(self, nvml: Any, handles: list[Any]) -> None:
        self._nvml, self._handles = nvml, handles

    def read(self) -> tuple[float | None, int | None]:
        return summed_up([self._busy(one) for one in self._handles], [self._used(one) for one in self._handles])

    def _busy(self, handle: Any) -> float | None:
        try:
            return self._nvml.nvmlDeviceGetUtilizationRates(handle).gpu / 100
        except self._nvml.NVMLError:
            return None

    def _used(self, handle: Any) -> int | None:
        try:  # the newer call leaves out what the driver keeps for itself
            return self._nvml.nvmlDeviceGetMemoryInfo(handle, version=self._nvml.nvmlMemory_v2).used
        except self._nvml.NVMLError:
            pass
        try:
            return self._nvml.nvmlDeviceGetMemoryInfo(handle).used
        except self._nvml.NVMLError:
            return None


class AmdGauges:
    """By amdsmi.

    Args:
        smi: the module ``amdsmi``.
    """

    def __init__(self, smi: Any, handles: list[Any]) -> None:
        self._smi, self._handles = smi, handles

    def read(self) -> tuple[float | None, int | None]:
        return summed_up([self._busy(one) for one in self._handles], [self._used(one) for one in self._handles])

    def _busy(self, handle: Any) -> float | None:
        try:
            share = self._smi.amdsmi_get_gpu_activity(handle)["gfx_activity"]
        except self._smi.AmdSmiException:
            return None
        return share / 100 if isinstance(share, int) else None  # else "N/A"

    def _used(self, handle: Any) -> int | None:
        try:
            return self._smi.amdsmi_get_gpu_memory_usage(handle, self._smi.AmdSmiMemoryType.VRAM)
        except self._smi.AmdSmiException:
            return None


def _nvidia(devices: int | None) -> NvidiaGauges | None:
    import pynvml

    try:
        pynvml.nvmlInit()
    except pynvml.NVMLError:
        return None
    try:
        count = pynvml.nvmlDeviceGetCount()
        seen = visible_devices("nvidia", visibility_variables())
        if seen.uuids is not None:
            handles = [pynvml.nvmlDeviceGetHandleByUUID(one) for one in seen.uuids]
        else:
            handles = [pynvml.nvmlDeviceGetHandleByIndex(one) for one in _numbers(seen, range(count))]
    except pynvml.NVMLError as error:
        return _none("NVML", error)
    return NvidiaGauges(pynvml, handles[:devices]) if handles else None


def _amd(devices: int | None) -> AmdGauges | None:
    # without its library the module prints, and then raises whatever its first use of it raises
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            import amdsmi
    except (ImportError, OSError, KeyError, AttributeError):
        return None
    try:
        amdsmi.amdsmi_init(amdsmi.AmdSmiInitFlags.INIT_AMD_GPUS)
        # handles come in the order of the bus; the variables number devices as HIP does
        about = [(amdsmi.amdsmi_get_gpu_enumeration_info(one), one) for one in amdsmi.amdsmi_get_processor_handles()]
    except amdsmi.AmdSmiException as error:
        return _none("amdsmi", error)
    seen = visible_devices("amd", visibility_variables())
    if seen.uuids is not None:
        by_uuid = {info["hip_uuid"]: handle for info, handle in about}
        handles = [by_uuid[one] for one in seen.uuids if one in by_uuid]
    else:
        by_number = {info["hip_id"]: handle for info, handle in about if isinstance(info["hip_id"], int)}  # or "N/A"
        handles = [by_number[one] for one in _numbers(seen, by_number) if one in by_number]
    return AmdGauges(amdsmi, handles[:devices]) if handles else None


def _numbers(seen: Visible, every: Any) -> list[int]:
    if seen.problem is not None:
        _log.warning("no gauge of the accelerators: %s", seen.problem)
        return []
    return sorted(every) if seen.numbers is None else list(seen.numbers)


def _none(library: str, error: Exception) -> None:
    _log.warning("no gauge of the accelerators: %s says %s", library, error)
