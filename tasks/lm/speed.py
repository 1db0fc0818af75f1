"""How fast a device is, in tokens × parameters per second of training: measured on earlier nights, else assumed."""

import json
from pathlib import Path

# first night on an unknown device: two server cores were measured at 3e10 (docs/design/plan.md)
ASSUMED = {"cpu": 3e10}
ASSUMED_ACCELERATOR = 2e13


def remember(home: Path, device: str, work: float, seconds: float) -> None:
    """Keep tonight's measured speed for tomorrow's forecast."""
    if work <= 0 or seconds <= 0:
        return
    path = _path(home, device)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps({"tokens_times_parameters_per_second": work / seconds}))


def speed(home: Path, device: str) -> tuple[float, bool]:
    """The device's speed, and whether it was measured."""
    path = _path(home, device)
    if path.is_file():
        return float(json.loads(path.read_text())["tokens_times_parameters_per_second"]), True
    return ASSUMED.get(device, ASSUMED_ACCELERATOR), False


def _path(home: Path, device: str) -> Path:
    return home / "speed" / f"{device}.json"
