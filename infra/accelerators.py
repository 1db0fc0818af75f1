"""Which accelerators this machine has, found without importing torch into the asking process."""

import functools
import json
import subprocess
import sys
from pathlib import Path

from infra.digest import Record
from infra.errors import PoolError

_ASK_TORCH = """
import json, torch
found = torch.cuda.is_available()
count = torch.cuda.device_count() if found else 0
names = [torch.cuda.get_device_name(i) for i in range(count)]
of = torch.cuda.get_device_properties
architectures = [
    getattr(of(i), "gcnArchName", "").split(":")[0] or f"sm_{of(i).major}{of(i).minor}" for i in range(count)
]
print(json.dumps({
    "names": names,
    "architectures": architectures,
    "memory_bytes": torch.cuda.mem_get_info(0)[1] if names else 0,
    "torch": torch.__version__,
    "build": "rocm " + torch.version.hip if torch.version.hip
             else "cuda " + torch.version.cuda if torch.version.cuda else "cpu",
}))
"""


class Accelerators(Record):
    names: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()  # as compilers spell them: gfx950, sm_90
    memory_bytes: int = 0
    torch: str | None = None
    build: str | None = None

    @property
    def kind(self) -> str:
        """As the price book spells it: ``cpu`` or the lower-case name with dashes, e.g. ``nvidia-h200``."""
        return self.names[0].lower().replace(" ", "-") if self.names else "cpu"


@functools.cache
def probe() -> Accelerators:
    """The accelerators PyTorch sees. A machine without a GPU driver is answered at once, without asking PyTorch."""
    if not has_gpu_driver():
        return Accelerators()
    return ask_torch()


def has_gpu_driver() -> bool:
    return Path("/dev/kfd").exists() or any(Path("/dev").glob("nvidia[0-9]*"))


def ask_torch() -> Accelerators:
    """Ask PyTorch in a process of its own (importing it takes seconds and gigabytes of address space)."""
    asked = subprocess.run([sys.executable, "-c", _ASK_TORCH], check=False, capture_output=True, text=True, timeout=120)
    if asked.returncode != 0:
        raise PoolError(f"PyTorch can't be asked for accelerators: {asked.stderr[-400:]}", do="run `nightshift doctor`")
    return Accelerators.model_validate(json.loads(asked.stdout))
