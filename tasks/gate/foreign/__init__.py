"""Others' suites: lm-evaluation-harness tasks, inspect_ai tasks and logs, plain JSONL (docs/suites.md).

A reference is a file, from the checkout's root or absolute, and for some forms a name behind an ``@``:

    tasks/arc.yaml            an lm-evaluation-harness task, judged by its first metric
    tasks/arc.yaml@acc_norm   by this metric (multiple_choice), or this pipeline of filters (generate_until)
    evals/policy.py@refunds   an inspect_ai task
    logs/refunds.eval         the samples of an inspect_ai log (also .json)
    items.jsonl               plain JSONL
"""

from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from pydantic import ValidationError

from infra.errors import PoolError
from tasks.errors import SuiteError
from tasks.gate.suites import Item, Scorer

FORMS = {
    ".yaml": "lm_eval",
    ".yml": "lm_eval",
    ".py": "inspect_task",
    ".eval": "inspect_log",
    ".json": "inspect_log",
    ".jsonl": "plain",
}

Run = Callable[[dict[str, Any], Path], dict[str, Any]]


def is_foreign(reference: str) -> bool:
    """Whether a recipe's ``path`` of a suite is a file of somebody else's form, and not a folder of ours."""
    return Path(_parts(reference)[0]).suffix in FORMS


def _parts(reference: str) -> tuple[str, str]:
    """File, and the name behind the ``@`` (or nothing)."""
    file, _, picked = reference.rpartition("@")
    return (reference, "") if Path(reference).suffix in FORMS or not file else (file, picked)


def load_foreign(reference: str, root: Path, run: Run | None = None) -> tuple[Scorer, list[Item]]:
    """A suite of others as scorer and items.

    What needs lm-eval or inspect_ai is read by a process of its own: they run the task's code, change this process and
    take its memory.

    Args:
        run: runs the program on its spec in a folder and returns its result; unset: a child process.

    Raises:
        SuiteError: it can't be read, or asks for something that isn't supported; names file, key and next action.
    """
    file, picked = _parts(reference)
    path = Path(file).expanduser()
    path = path if path.is_absolute() else root / path
    if path.suffix not in FORMS:
        raise SuiteError(
            f"{reference} is no suite: it ends with none of {', '.join(FORMS)}", do="mend the suite's path"
        )
    if not path.is_file():
        raise SuiteError(f"{reference}: there is no file {path}", do="mend the suite's path")
    form = FORMS[path.suffix]
    if (form == "inspect_task") != bool(picked) and form != "lm_eval":
        need = "name its task: file.py@task" if form == "inspect_task" else f"name the file alone: {file}"
        raise SuiteError(f"{reference} can't be read as {form}", do=need)
    if form == "plain":
        from tasks.gate.foreign.plain import load_plain

        return load_plain(path)
    spec = {"form": form, "path": str(path.absolute()), "picked": picked, "root": str(root)}
    with TemporaryDirectory() as folder:
        result = (run or _child)(spec, Path(folder))
    if "error" in result:
        raise SuiteError(result["error"]["what"], do=result["error"]["do"])
    return Scorer.model_validate(result["scorer"]), [Item.model_validate(item) for item in result["items"]]


def reason_of(error: ValidationError) -> str:
    """The first thing that an item or scorer is refused for."""
    return error.errors()[0]["msg"].removeprefix("Value error, ")


def _child(spec: dict[str, Any], folder: Path) -> dict[str, Any]:
    from infra.pools.local import LocalPool  # the file is here, wherever the recipe's pool is
    from infra.programs import run_program

    try:
        return run_program(LocalPool(), "tasks.gate.foreign.program", spec, folder, lambda _: None)
    except PoolError as error:
        raise SuiteError(f"{spec['path']} can't be read: {error.what}", do="mend it, or take it out") from error
