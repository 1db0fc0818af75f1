"""Memory of this process."""

import contextlib
import ctypes
import functools
import resource
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil


def memory_in_use() -> int:
    """Resident bytes."""
    return psutil.Process().memory_info().rss


def peak_memory() -> int:
    """Resident bytes at the fullest moment of this program.

    On Linux by the kernel's mark of the program's own memory: ``getrusage`` counts that of the process which started it
    too, from before the program was loaded.
    """
    with contextlib.suppress(FileNotFoundError):
        for line in Path("/proc/self/status").read_text().splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most if sys.platform == "darwin" else 1024 * most  # in kilobytes, but for macOS


# of glibc's mallopt, from malloc.h; and the ends to which glibc itself moves them as a program frees large blocks
_TRIM_THRESHOLD, _MMAP_THRESHOLD = -1, -3
_SMALL, _LARGE = 128 * 2**10, 32 * 2**20


@contextlib.contextmanager
def giving_back() -> Iterator[None]:
    """Inside, blocks go back to the system as soon as they are freed: less memory, more work. Only with glibc's malloc.

    It keeps freed blocks of up to 32 MB for itself. Tensors that stay are then cut out of the holes that passing ones
    left, which those no longer fit into when they come again: a recomputed forward took 3.7 GB for 1.5 GB of tensors
    (benchmarks/results/memory.md).
    """
    mallopt = _mallopt()
    if mallopt is None:
        yield
        return
    mallopt(_MMAP_THRESHOLD, _SMALL)
    try:
        yield
    finally:
        mallopt(_MMAP_THRESHOLD, _LARGE)
        mallopt(_TRIM_THRESHOLD, 2 * _LARGE)


@functools.cache
def _mallopt() -> Callable[[int, int], int] | None:
    if sys.platform != "linux":
        return None
    return getattr(ctypes.CDLL(None), "mallopt", None)
