"""Write the pages that say what the code declares: settings.md, recipes.md, cli.md, rendered/. A test compares them.

python docs/generate.py
"""

import os
import sys
from functools import partial
from pathlib import Path
from typing import Any, get_args, get_origin

from pydantic import BaseModel
from pydantic_core import PydanticUndefined

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent))

from flows.cli import parser  # noqa: E402
from infra.kubernetes import examples as kubernetes_examples  # noqa: E402
from infra.settings import ROOT, Settings  # noqa: E402
from infra.slurm import examples as slurm_examples  # noqa: E402
from tasks.phases import METHODS, Phase  # noqa: E402
from tasks.recipe import Recipe  # noqa: E402


def settings_page() -> str:
    """Every setting, its default and what it is."""
    rows = [
        f"| `NIGHTSHIFT_{name.upper()}` | {_default(field.default)} | {field.description} |"
        for name, field in Settings.model_fields.items()
    ]
    return (
        "# Settings\n\nWhere things are. Environment variables, read in `infra/settings.py` and nowhere else; "
        "never part of a digest.\n"
        "Written by `python docs/generate.py`.\n\n| variable | default | what |\n|---|---|---|\n"
        + "\n".join(rows)
        + "\n"
    )


def recipes_page() -> str:
    """Every key of a recipe."""
    return (
        "# Recipes\n\nWhat to train, as TOML. Unknown keys are refused. `--set key=value` overrides one for a night, "
        "with a list's place as a\n"
        "number: `--set phase.0.max_steps=10`, `--set sources=my/pairs.jsonl.gz`. "
        "Overriding `gate.*` makes the night not promotable.\n"
        "Written by `python docs/generate.py`.\n\n| key | default | what |\n|---|---|---|\n"
        + "\n".join(_keys(Recipe, ""))
        + "\n"
        "\n## Methods\n\nWhat a method or a loss ignores can't be set.\n\n"
        "| `method` | what | losses | fields of its own |\n|---|---|---|---|\n" + "\n".join(_methods()) + "\n"
        "\n## Sources\n\nA file or a folder of files: `.jsonl`, `.jsonl.gz`, `.csv`, `.csv.gz`, `.parquet`. "
        "One record a row, in any of these forms:\n\n"
        "- TRL conversational: `prompt`, `chosen`, `rejected` as lists of `{role, content}`\n"
        "- TRL plain: the same three as text\n"
        "- without `prompt`: two conversations (lists or `Human:` / `Assistant:` transcripts); "
        "what they share is the prompt\n\n"
        "`id` and `timestamp` (ISO) are optional. Rows that fail a check go to the quarantine, "
        "with reasons and origin.\n"
    )


def cli_page() -> str:
    """The help of every command."""
    os.environ["COLUMNS"] = "110"
    root = parser()
    commands = next(action for action in root._actions if hasattr(action, "choices") and action.choices)
    parts = [f"## nightshift {name}\n\n```\n{one.format_help()}```\n" for name, one in commands.choices.items()]  # pyright: ignore
    return "# The command\n\nWritten by `python docs/generate.py`.\n\n" + "\n".join(parts)


def _keys(model: type[BaseModel], prefix: str) -> list[str]:
    rows = []
    for name, field in model.model_fields.items():
        inner, many = _inner(field.annotation)
        key = f"{prefix}{name}" + ("[]" if many else "")
        if inner is Phase and prefix:  # the same keys once more say nothing new
            rows.append(f"| **`{key}`** | | {field.description} |")
        elif inner is not None:
            rows.append(f"| **`{key}`** | | {field.description} |")
            rows += _keys(inner, f"{key}.")
        else:
            rows.append(f"| `{key}` | {_default(field.default)} | {field.description} |")
    return rows


def _methods() -> list[str]:
    return [
        f"| `{name}` | {one.what} | {', '.join(f'`{loss}`' for loss in one.losses) or 'its own'} "
        f"| {', '.join(f'`{field}`' for field in sorted(one.fields)) or 'none'} |"
        for name, one in METHODS.items()
    ]


def _inner(annotation: Any) -> tuple[type[BaseModel] | None, bool]:
    for one in (annotation, *get_args(annotation)):
        if isinstance(one, type) and issubclass(one, BaseModel):
            return one, get_origin(annotation) is tuple
    return None, False


def _default(value: Any) -> str:
    if value is PydanticUndefined:
        return "required"
    if isinstance(value, Path):
        return f"`{value.relative_to(ROOT)}`"
    return "unset" if value is None or value == () else f"`{value}`"


def rendered_page(file: str) -> str:
    """A manifest or a script as a pool renders it for a fixed example."""
    return RENDERED[file]


RENDERED = {**kubernetes_examples.rendered(), **slurm_examples.rendered()}
PAGES = {
    "settings.md": settings_page,
    "recipes.md": recipes_page,
    "cli.md": cli_page,
    **{f"rendered/{file}": partial(rendered_page, file) for file in RENDERED},
}

if __name__ == "__main__":
    for file, page in PAGES.items():
        (HERE / file).write_text(page())
