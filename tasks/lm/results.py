"""How a program says that it could not do its work: an error of ours goes through the result file, not a traceback."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tasks.errors import ModelError, NightshiftError


def write_result(path: str, work: Callable[[], dict[str, Any]]) -> None:
    """Write what ``work`` returns, or the error of ours that it raised. Any other error ends the program."""
    try:
        result = work()
    except NightshiftError as error:
        result = {"problem": {"what": error.what, "do": error.do}}
    Path(path).write_text(json.dumps(result, allow_nan=False))


def result_of(result: dict[str, Any]) -> dict[str, Any]:
    """A program's result.

    Raises:
        ModelError: what the program said it failed of.
    """
    if "problem" in result:
        raise ModelError(result["problem"]["what"], do=result["problem"]["do"])
    return result
