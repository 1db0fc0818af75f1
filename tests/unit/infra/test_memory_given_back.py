"""Memory of the process: what is freed is given back while that is asked for."""

import subprocess
import sys

import pytest

from infra.settings import ROOT

# in a process of its own: what the allocator keeps depends on all that was freed before
PROGRAM = """
import contextlib, sys
import torch
from infra.memory import giving_back, memory_in_use
del (freed := [torch.ones(1 << 22)])[:]  # from here on the allocator keeps blocks of up to 16 MB
with giving_back() if sys.argv[1] == "giving back" else contextlib.nullcontext():
    blocks = [torch.ones(1 << 20) for _ in range(128)]  # of 4 MB
    before = memory_in_use()
    blocks = blocks[::2]
    print(round((before - memory_in_use()) / 2**20))
again = [torch.ones(1 << 20) for _ in range(64)]
assert sum(float(block.sum()) for block in blocks + again) == 128 * 2**20
"""


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's allocator")
@pytest.mark.parametrize(("how", "least", "most"), [("giving back", 240, 270), ("as usual", 0, 40)])
def test_every_other_block_of_many_goes_back_to_the_system_only_when_asked_for(how: str, least: int, most: int) -> None:
    done = subprocess.run(
        [sys.executable, "-c", PROGRAM, how], cwd=ROOT, capture_output=True, text=True, check=True, timeout=120
    )
    assert least <= int(done.stdout) <= most
