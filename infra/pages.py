"""HTML pages from templates: everything that is put in is escaped, and a name that is missing is an error."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


def page_template(folder: Path, name: str, filters: Mapping[str, Callable[..., Any]]) -> Any:
    """A Jinja template of this folder, with filters by name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only where a page is made

    environment = Environment(
        loader=FileSystemLoader(folder),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters)
    return environment.get_template(name)
