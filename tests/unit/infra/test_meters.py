"""Energy, load and memory by the makers' libraries: Zeus's, amdsmi's and NVML's real Python over stub C libraries.

The stubs (tests/unit/infra/stubs, compiled here) have no device behind them. Device i draws 100 × (i + 1) W, is
10 × (i + 1) % busy and holds (i + 1) GB, so that what is read shows which devices were asked.
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from infra.settings import ROOT
from infra.visible import Visible, visible_devices

STUBS = Path(__file__).parent / "stubs"
needs_gcc = pytest.mark.skipif(shutil.which("gcc") is None, reason="the stub libraries are compiled with gcc")

READ = """
import json, logging, sys, time
logging.basicConfig(level=logging.WARNING, stream=sys.stderr)
from infra.usage import UsageMeter
from infra.energy import EnergyMeter
devices = json.loads(sys.argv[1])
energy = EnergyMeter.start(True, devices)
usage = UsageMeter.start(accelerator=True, seconds=60)
began = time.monotonic()
time.sleep(0.4)
kwh, seconds = energy.stop(), time.monotonic() - began
found = usage.stop()
print(json.dumps({"watts": kwh and kwh * 3.6e6 / seconds, "busy": found.busy, "peak": found.peak_memory_bytes,
                  "usage_kwh": found.kwh, "meter": found.meter}))
"""


def compiled(source: str, to: Path, extra: str = "") -> None:
    to.parent.mkdir(parents=True, exist_ok=True)
    text = (STUBS / source).read_text() + extra
    subprocess.run(["gcc", "-shared", "-fPIC", "-O1", "-x", "c", "-", "-o", str(to)], input=text, text=True, check=True)


@pytest.fixture(scope="module")
def nvidia(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("nvidia")
    compiled("stub_nvidia_ml.c", folder / "libnvidia-ml.so.1")
    return folder


@pytest.fixture(scope="module")
def amd(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """With every function that amdsmi looks up when it is imported; those the stub doesn't know answer: not supported."""
    folder = tmp_path_factory.mktemp("amd")
    found = importlib.util.find_spec("amdsmi")
    assert found is not None
    assert found.origin is not None
    wrapper = (Path(found.origin).parent / "amdsmi_wrapper.py").read_text()
    asked = set(re.findall(r"_libraries\['libamd_smi\.so'\]\.(\w+)", wrapper))
    known = set(re.findall(r"^int (\w+)\(", (STUBS / "stub_amd_smi.c").read_text(), re.MULTILINE))
    others = "".join(f"int {name}(void) {{ return NOT_SUPPORTED; }}\n" for name in sorted(asked - known))
    compiled("stub_amd_smi.c", folder / "lib" / "libamd_smi.so", others)
    return folder


def read(devices: int | None = None, **variables: str) -> tuple[dict[str, Any], str]:
    """What a process with these variables measures, and what it said."""
    hidden = ("CUDA_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES", "ROCR_VISIBLE_DEVICES", "ROCM_PATH", "ROCM_HOME")
    environment = {name: value for name, value in os.environ.items() if name not in hidden}
    done = subprocess.run(
        [sys.executable, "-c", READ, json.dumps(devices)],
        env=environment | {"PYTHONPATH": str(ROOT)} | variables,
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return json.loads(done.stdout.splitlines()[-1]), done.stderr


def on(folder: Path) -> dict[str, str]:
    if (folder / "lib").exists():
        return {"ROCM_PATH": str(folder)}
    return {"LD_LIBRARY_PATH": str(folder)}


NOTHING = {"watts": None, "busy": None, "peak": None, "usage_kwh": None, "meter": None}


@needs_gcc
@pytest.mark.parametrize("vendor", ["nvidia", "amd"])
def test_all_devices_are_metered_where_none_is_hidden(vendor: str, request: pytest.FixtureRequest) -> None:
    found, said = read(**on(request.getfixturevalue(vendor)))
    assert found["watts"] == pytest.approx(100 + 200 + 300 + 400, rel=0.05)
    assert (found["busy"], found["peak"]) == (pytest.approx(0.25), 4_000_000_000)
    assert found["usage_kwh"] > 0
    assert found["meter"] == "zeus"
    assert "estimated" not in said


@needs_gcc
@pytest.mark.parametrize(
    ("vendor", "variable"),
    [
        ("nvidia", "CUDA_VISIBLE_DEVICES"),
        ("amd", "HIP_VISIBLE_DEVICES"),
        ("amd", "CUDA_VISIBLE_DEVICES"),
        ("amd", "ROCR_VISIBLE_DEVICES"),  # Slurm's, which Zeus doesn't look at
    ],
)
def test_only_the_devices_of_the_job_are_metered(vendor: str, variable: str, request: pytest.FixtureRequest) -> None:
    found, _ = read(**on(request.getfixturevalue(vendor)), **{variable: "1,3"})
    assert found["watts"] == pytest.approx(200 + 400, rel=0.05)
    assert (found["busy"], found["peak"]) == (pytest.approx(0.3), 4_000_000_000)


@needs_gcc
def test_a_pool_that_holds_some_of_the_visible_devices_pays_for_these(nvidia: Path) -> None:
    found, _ = read(2, **on(nvidia), CUDA_VISIBLE_DEVICES="1,2,3")
    assert found["watts"] == pytest.approx(200 + 300, rel=0.05)


@needs_gcc
def test_a_second_variable_on_amd_leaves_nobody_sure_and_energy_estimated(amd: Path) -> None:
    found, said = read(**on(amd), ROCR_VISIBLE_DEVICES="1,3", HIP_VISIBLE_DEVICES="0")
    assert found == NOTHING
    assert "ROCR_VISIBLE_DEVICES and HIP_VISIBLE_DEVICES are set" in said


@needs_gcc
def test_devices_named_by_uuid_have_gauges_and_no_energy_meter(nvidia: Path) -> None:
    found, said = read(**on(nvidia), CUDA_VISIBLE_DEVICES="GPU-0,GPU-2")
    assert (found["watts"], found["busy"], found["peak"]) == (None, pytest.approx(0.2), 3_000_000_000)
    assert "not by UUID" in said


@needs_gcc
@pytest.mark.parametrize(
    ("vendor", "broken"),
    [("nvidia", {"STUB_OLD": "1"}), ("amd", {"STUB_STILL": "1"})],
)
def test_a_counter_that_is_missing_or_stands_still_measures_nothing(
    vendor: str, broken: dict[str, str], request: pytest.FixtureRequest
) -> None:
    found, said = read(**on(request.getfixturevalue(vendor)), **broken)
    assert (found["watts"], found["usage_kwh"], found["meter"]) == (None, None, None)
    assert "energy counter" in said
    # the gauges go on; the older driver's memory counts what it keeps for itself
    assert (found["busy"], found["peak"]) == (0.25, 4_500_000_000 if vendor == "nvidia" else 4_000_000_000)


@needs_gcc
@pytest.mark.parametrize("vendor", ["nvidia", "amd"])
def test_a_library_without_a_driver_measures_nothing(vendor: str, request: pytest.FixtureRequest) -> None:
    found, said = read(**on(request.getfixturevalue(vendor)), STUB_NO_INIT="1")
    assert found == NOTHING
    assert "energy will be estimated" in said


@pytest.mark.skipif(Path("/dev/kfd").exists() or shutil.which("nvidia-smi") is not None, reason="this machine has one")
def test_an_absent_library_is_an_estimate_and_no_error() -> None:
    found, said = read()
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
