"""Call a flow from the command line: its result, or one readable error."""

import json
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from infra.errors import NightshiftError
from infra.quiet import quiet_our_errors
from infra.redact import holds_password
from infra.settings import ROOT
from tasks.errors import RecipeError


def recipe_path(recipe: str) -> str:
    """As a flow takes it: relative to the checkout's root, or absolute."""
    path = Path(recipe)
    if path.is_file() and not (ROOT / path).is_file():
        return str(path.resolve())
    return recipe


def call_flow(flow: Any, **parameters: Any) -> Any:
    """Run a flow in this process and return what it returned, also from a state of its own such as `Skipped`.

    Raises:
        NightshiftError: as the flow raised it; invalid parameters and errors of other kinds come in its form too.
    """
    from prefect.exceptions import ParameterTypeError

    quiet_our_errors()
    for name, value in parameters.items():
        if holds_password(json.dumps(value, default=str)):
            raise RecipeError(
                f"the parameter {name} holds a URL with a password or a token; Prefect keeps a run's parameters",
                do="give the secret by an environment variable (docs/settings.md), and the URL without it",
            )
    try:
        state = flow(**parameters, return_state=True)
        return state.result()
    except (ParameterTypeError, ValidationError) as error:
        raise RecipeError(f"a parameter is invalid: {error}", do="see `nightshift run --help`") from error
    except NightshiftError:
        raise
    except OSError as error:
        raise _in_form(error) from error


def _in_form(error: OSError) -> NightshiftError:
    where = f" at {error.filename}" if error.filename else ""
    return NightshiftError(
        f"the operating system refused{where}: {error.strerror or error}",
        do="mend that (disk space, permissions, network) and run again: finished steps are reused",
    )
