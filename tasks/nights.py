"""Nights on disk: find one and read its summary."""

import json
from pathlib import Path
from typing import Any

from tasks.errors import RecipeError


def read_summary(home: Path, night: str) -> dict[str, Any]:
    """The summary of ``last`` or of a night by name.

    Raises:
        RecipeError: there is no such night, or it has not ended.
    """
    folder = _last(home) if night == "last" else _by_name(home, night)
    path = folder / "summary.json"
    if not path.is_file():
        raise RecipeError(f"the night in {folder} has no summary", do="wait for it to end, or start it again")
    return json.loads(path.read_text())


def _last(home: Path) -> Path:
    try:
        return Path((home / "last-night").read_text())
    except FileNotFoundError:
        raise RecipeError(f"there was no night yet in {home}", do="run `nightshift run recipes/demo.toml`") from None


def _by_name(home: Path, night: str) -> Path:
    names = {path.read_text(): path.parent for path in (home / "nights").glob("*/name")}
    if night not in names:
        raise RecipeError(f"there is no night {night!r}, only {sorted(names)[-5:]}", do="name one of these, or `last`")
    return names[night]
