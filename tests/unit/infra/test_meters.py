"""Energy, load and memory by the makers' libraries: Zeus's, amdsmi's and NVML's real Python over stub C libraries.

The stubs (tests/unit/infra/stubs, compiled here) have no device behind them. Device i draws 100 × (i + 1) W, is
10 × (i + 1) % busy and holds (i + 1) GB, so that what is read shows which devices were asked.
"""

import functools
import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT
from infra.visible import Visible, visible_devices

STUBS = Path(__file__).parent / "stubs"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="the stub libraries are compiled with gcc")

# one process imports Zeus (seconds) and forks one child a case, which sees that case's variables
READ = """
import json, logging, os, sys, time
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
import zeus.monitor
from infra.usage import UsageMeter
from infra.energy import EnergyMeter

def read(case, out):
    os.environ.update(case["variables"])
    energy, began = EnergyMeter.start(True, case["devices"]), time.monotonic()
    usage = UsageMeter.start(accelerator=True, devices=case["devices"], seconds=60)
    time.sleep(0.4)
    kwh, seconds = energy.stop(), time.monotonic() - began
    found = usage.stop()
    json.dump({"watts": kwh and kwh * 3.6e6 / seconds, "busy": found.busy, "peak": found.peak_memory_bytes,
               "usage_kwh": found.kwh, "meter": found.meter}, out)

for name, case in json.loads(sys.argv[1]).items():
    result, says = os.path.join(sys.argv[2], name), os.path.join(sys.argv[2], name + ".log")
    if os.fork() == 0:
        os.dup2(os.open(says, os.O_WRONLY | os.O_CREAT), 2)
        with open(result, "w") as out:
            read(case, out)
        os._exit(0)
    os.wait()
"""

TWO = "ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES are set"
CASES: dict[str, dict[str, dict[str, str]]] = {
    "nvidia": {
        "all": {},
        "cuda": {"CUDA_VISIBLE_DEVICES": "1,3"},
        "first two": {"CUDA_VISIBLE_DEVICES": "1,2,3"},
        "uuid": {"CUDA_VISIBLE_DEVICES": "GPU-0,GPU-2"},
        "no counter": {"STUB_OLD": "1"},
        "no driver": {"STUB_NO_INIT": "1"},
    },
    "amd": {
        "all": {},
        "hip": {"HIP_VISIBLE_DEVICES": "1,3"},
        "cuda": {"CUDA_VISIBLE_DEVICES": "1,3"},
        "rocr": {"ROCR_VISIBLE_DEVICES": "1,3"},  # Slurm's, which Zeus doesn't look at
        "two": {"ROCR_VISIBLE_DEVICES": "1,3", "HIP_VISIBLE_DEVICES": "0"},
        "no counter": {"STUB_STILL": "1"},
        "no driver": {"STUB_NO_INIT": "1"},
    },
    "none": {"all": {}},
}


def compiled(source: str, to: Path, extra: str = "") -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    text = (STUBS / source).read_text() + extra
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(to)], input=text, text=True, check=True)


def make_nvidia(folder: Path) -> dict[str, str]:
    compiled("stub_nvidia_ml.c", folder / "libnvidia-ml.so.1")
    return {"LD_LIBRARY_PATH": str(folder)}


def make_amd(folder: Path) -> dict[str, str]:
    """With every function that amdsmi looks up when it is imported: the stub's, and others that say: not supported."""
    found = importlib.util.find_spec("amdsmi")
    assert found is not None
    assert found.origin is not None
    wrapper = (Path(found.origin).parent / "amdsmi_wrapper.py").read_text()
    asked = set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", wrapper))
    known = set(re.findall(r"^int (\w+)\(", (STUBS / "stub_amd_smi.c").read_text(), re.MULTILINE))
    others = "".join(f"int {name}(void) {{ return NOT_SUPPORTED; }}\n" for name in sorted(asked - known))
    compiled("stub_amd_smi.c", folder / "lib" / "libamd_smi.so", others)
    return {"ROCM_PATH": str(folder)}


@pytest.fixture(scope="module")
def read(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str, str], tuple[dict[str, Any], str]]:
    """What a process in that case measures, and what it said."""

    @functools.cache
    def run(vendor: str) -> Path:
        folder = tmp_path_factory.mktemp(vendor)
        made = {"nvidia": make_nvidia, "amd": make_amd, "none": lambda _: {}}[vendor](folder / "lib-root")
        cases = {
            name: {"variables": variables, "devices": 2 if name == "first two" else None}
            for name, variables in CASES[vendor].items()
        }
        hidden = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ROCM_PATH", "ROCM_HOME")
        environment = {name: value for name, value in os.environ.items() if name not in hidden}
        subprocess.run(
            [sys.executable, "-c", READ, json.dumps(cases), str(folder)],
            env=environment | {"PYTHONPATH": str(ROOT)} | made,
            check=True,
            timeout=240,
        )
        return folder

    return lambda vendor, case: (
        json.loads((run(vendor) / case).read_text()),
        (run(vendor) / f"{case}.log").read_text(),
    )


NOTHING = {"watts": None, "busy": None, "peak": None, "usage_kwh": None, "meter": None}


def drawn(watts: float) -> Any:
    return pytest.approx(watts, rel=0.12)  # of less than half a second


@needs_gcc
@pytest.mark.parametrize("vendor", ["nvidia", "amd"])
def test_all_devices_are_metered_where_none_is_hidden(read: Any, vendor: str) -> None:
    found, said = read(vendor, "all")
    assert found["watts"] == drawn(100 + 200 + 300 + 400)
    assert (found["busy"], found["peak"]) == (pytest.approx(0.25), 4_000_000_000)
    assert found["usage_kwh"] > 0
    assert found["meter"] == "zeus"
    assert "estimated" not in said


@needs_gcc
@pytest.mark.parametrize(("vendor", "case"), [("nvidia", "cuda"), ("amd", "hip"), ("amd", "cuda"), ("amd", "rocr")])
def test_only_the_devices_of_the_job_are_metered(read: Any, vendor: str, case: str) -> None:
    found, _ = read(vendor, case)
    assert found["watts"] == drawn(200 + 400)
    assert (found["busy"], found["peak"]) == (pytest.approx(0.3), 4_000_000_000)


@needs_gcc
def test_a_pool_that_holds_some_of_the_visible_devices_pays_for_these(read: Any) -> None:
    found, _ = read("nvidia", "first two")
    assert found["watts"] == drawn(200 + 300)
    assert (found["busy"], found["peak"]) == (pytest.approx(0.25), 3_000_000_000)


@needs_gcc
def test_a_second_variable_on_amd_leaves_nobody_sure_and_energy_estimated(read: Any) -> None:
    found, said = read("amd", "two")
    assert found == NOTHING
    assert TWO in said


@needs_gcc
def test_devices_named_by_uuid_have_gauges_and_no_energy_meter(read: Any) -> None:
    found, said = read("nvidia", "uuid")
    assert (found["watts"], found["busy"], found["peak"]) == (None, pytest.approx(0.2), 3_000_000_000)
    assert "not by UUID" in said


@needs_gcc
@pytest.mark.parametrize(("vendor", "peak"), [("nvidia", 4_500_000_000), ("amd", 4_000_000_000)])
def test_a_counter_that_is_missing_or_stands_still_measures_nothing(read: Any, vendor: str, peak: int) -> None:
    found, said = read(vendor, "no counter")
    assert (found["watts"], found["usage_kwh"], found["meter"]) == (None, None, None)
    assert "energy counter" in said
    # the gauges go on; an older NVIDIA driver counts the memory it keeps for itself
    assert (found["busy"], found["peak"]) == (0.25, peak)


@needs_gcc
@pytest.mark.parametrize("vendor", ["nvidia", "amd"])
def test_a_library_without_a_driver_measures_nothing(read: Any, vendor: str) -> None:
    found, said = read(vendor, "no driver")
    assert found == NOTHING
    assert "energy will be estimated" in said


@pytest.mark.skipif(Path("/dev/kfd").exists() or shutil.which("nvidia-smi") is not None, reason="this machine has one")
def test_an_absent_library_is_an_estimate_and_no_error(read: Any) -> None:
    found, said = read("none", "all")
    assert found == NOTHING
    assert "energy will be estimated" in said
    assert "KeyError" not in said


# ---- which devices


@pytest.mark.parametrize(
    ("vendor", "variables", "seen"),
    [
        ("nvidia", {}, Visible()),
        ("nvidia", {"CUDA_VISIBLE_DEVICES": "2, 0"}, Visible(numbers=(2, 0))),
        ("nvidia", {"CUDA_VISIBLE_DEVICES": "GPU-a"}, Visible(uuids=("GPU-a",))),
        # Slurm sets AMD's variable on NVIDIA's machines too, where nobody reads it
        ("nvidia", {"CUDA_VISIBLE_DEVICES": "1", "ROCR_VISIBLE_DEVICES": "1"}, Visible(numbers=(1,))),
        ("amd", {"ROCR_VISIBLE_DEVICES": "4"}, Visible(numbers=(4,))),
    ],
)
def test_the_variables_say_which_devices_are_ours(vendor: Any, variables: dict[str, str], seen: Visible) -> None:
    assert visible_devices(vendor, variables) == seen


@pytest.mark.parametrize("value", ["", "-1", "NoDevFiles", "MIG-1/2/3", "0,GPU-a", "0,,1"])
def test_a_value_that_names_no_whole_devices_is_a_problem_and_never_all_of_them(value: str) -> None:
    assert repr(value) in str(visible_devices("nvidia", {"CUDA_VISIBLE_DEVICES": value}).problem)
