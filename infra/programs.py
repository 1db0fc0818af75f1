"""Run a program on a pool: spec file in, result file out."""

import json
import shutil
from pathlib import Path
from typing import Any

from infra.errors import PoolError
from infra.pools.base import OnEvent, Pool, Program


def run_program(
    pool: Pool, module: str, spec: dict[str, Any], folder: Path, on_event: OnEvent, *, distributed: bool = False
) -> dict[str, Any]:
    """Run ``module`` in ``folder`` and return its result.

    Raises:
        PoolError: the program failed, or ended without a result.
    """
    spec_path, result_path = folder / "spec.json", folder / "result.json"
    result_path.unlink(missing_ok=True)
    spec_path.write_text(json.dumps(spec, allow_nan=False))
    program = Program(
        module=module,
        spec=str(spec_path),
        result=str(result_path),
        distributed=distributed,
        checkpoints=spec.get("checkpoints"),
    )
    pool.run(program, on_event)
    if not result_path.is_file():
        raise PoolError(f"{module} ended without a result in {folder}", do=f"read {folder / 'output.log'}")
    return json.loads(result_path.read_text())


def fresh_folder(folder: Path) -> Path:
    """An empty folder: what an earlier, killed attempt left there is not trusted."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    return folder
