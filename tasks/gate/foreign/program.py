"""Program: read a suite of others. ``python -m tasks.gate.foreign.program SPEC RESULT``.

Spec: {form, path, picked, root}. Result: {scorer, items}, or {error: {what, do}} where it can't be read.
Imports neither Prefect nor MLflow; what the task's code prints goes into the program's log.
"""

import json
import sys
from pathlib import Path
from typing import Any

from infra.events import die_with_parent
from tasks.errors import SuiteError
from tasks.gate.foreign.inspect_log import load_inspect_log
from tasks.gate.foreign.inspect_task import load_inspect_task
from tasks.gate.foreign.lm_eval_task import load_lm_eval
from tasks.gate.suites import Item, Scorer


def main(spec_path: str, result_path: str) -> None:
    die_with_parent()
    spec = json.loads(Path(spec_path).read_text())
    Path(result_path).write_text(json.dumps(read(spec, Path(result_path).parent), allow_nan=False))


def read(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    """The result of a spec; ``folder`` is for what a library writes on the way."""
    try:
        scorer, items = _load(spec, folder)
    except SuiteError as error:
        return {"error": {"what": error.what, "do": error.do}}
    return {"scorer": scorer.model_dump(), "items": [item.model_dump() for item in items]}


def _load(spec: dict[str, Any], folder: Path) -> tuple[Scorer, list[Item]]:
    path = Path(spec["path"])
    if spec["form"] == "lm_eval":
        return load_lm_eval(path, Path(spec["root"]), folder / "datasets", spec["picked"])
    if spec["form"] == "inspect_task":
        return load_inspect_task(path, spec["picked"])
    return load_inspect_log(path)


if __name__ == "__main__":
    main(*sys.argv[1:])
