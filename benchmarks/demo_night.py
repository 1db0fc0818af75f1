"""What a newcomer waits for: setup, the first demo night, and the same night again, from a fresh clone.

    python benchmarks/demo_night.py [FOLDER]

Clones this checkout's HEAD into FOLDER (default: a temporary one), runs `make setup`, `make nightly` twice, and prints
one JSON object as its last line. Takes 10 to 15 minutes on two cores; run nothing beside it.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


VERSIONS = """
import json, platform
from importlib.metadata import version
names = ("torch", "transformers", "trl", "prefect", "mlflow")
print(json.dumps({"python": platform.python_version(), **{name: version(name) for name in names}}))
"""


def cpu_model() -> str:
    """The CPU's name, where Linux tells it."""
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


def timed(command: list[str], folder: Path) -> float:
    """Seconds a command took.

    Raises:
        subprocess.CalledProcessError: it failed; there is no figure then.
    """
    begun = time.monotonic()
    subprocess.run(command, cwd=folder, check=True, stdout=sys.stderr)
    return round(time.monotonic() - begun, 1)


def main(folder: Path) -> None:
    clone = folder / "nightshift"
    subprocess.run(["git", "clone", "-q", str(ROOT), str(clone)], check=True)
    seconds = {"setup": timed(["make", "setup"], clone), "first_night": timed(["make", "nightly"], clone)}
    python = str(clone / ".venv" / "bin" / "python")
    show = [str(clone / ".venv" / "bin" / "nightshift"), "show", "last", "--json"]
    first = json.loads(subprocess.run(show, cwd=clone, capture_output=True, check=True).stdout)
    seconds["second_night"] = timed(["make", "nightly"], clone)
    again = json.loads(subprocess.run(show, cwd=clone, capture_output=True, check=True).stdout)
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"], cwd=clone, capture_output=True, text=True, check=True
    )
    result = {
        "benchmark": "demo_night",
        "commit": commit.stdout.strip(),
        "seconds": seconds,
        "steps": {step["name"]: step["seconds"] for step in first["steps"]},
        "verdict": first["verdict"],
        "suites": first["suites"],
        "data": first["data"],
        "bill": first["bill"],
        "second_night_reused": all(step["cached"] for step in again["steps"]),
        "same_version": first["version"] == again["version"],
        "hardware": f"{os.cpu_count()} cores, {cpu_model()}",
        "versions": json.loads(subprocess.run([python, "-c", VERSIONS], capture_output=True, check=True).stdout),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    if len(sys.argv) > 1:
        main(Path(sys.argv[1]))
    else:
        with tempfile.TemporaryDirectory() as temporary:
            main(Path(temporary))
