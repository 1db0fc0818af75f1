"""HTML pages from templates: everything that is put in is escaped, and a name that is missing is an error.

``page_style.html``, beside this file, is what all reports look like; a template of any folder may include it.
"""

from collections.abc import Callable, Mapping
from html import escape
from pathlib import Path
from typing import Any


def page_template(folder: Path, name: str, filters: Mapping[str, Callable[..., Any]]) -> Any:
    """A Jinja template of this folder (or, included, of this file's), with filters by name."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined  # only where a page is made

    environment = Environment(
        loader=FileSystemLoader([folder, Path(__file__).parent]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= dict(filters)
    return environment.get_template(name)


def plain_markdown(text: str) -> str:
    """A text as Markdown that shows it as it is: no tag, no link, no cell, no code of its own."""
    flat = escape(" ".join(text.split()), quote=False)
    return "".join(f"\\{one}" if one in "\\`*_[]|#!~" else one for one in flat)
