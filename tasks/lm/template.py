"""A model's chat template, rendered as transformers does, without importing it: seconds, and torch, in every process.

``tests/unit/lm/test_template.py`` compares both.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from jinja2 import TemplateError, nodes
from jinja2.ext import Extension
from jinja2.parser import Parser
from jinja2.sandbox import ImmutableSandboxedEnvironment

from tasks.errors import ModelError

Messages = Sequence[dict[str, str]]

_NAMED = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


class _Generation(Extension):
    """``{% generation %}`` marks what a model says, for masks that are not made here: its body is rendered."""

    tags = frozenset({"generation"})  # pyright: ignore[reportAssignmentType]

    def parse(self, parser: Parser) -> list[nodes.Node]:
        next(parser.stream)
        return parser.parse_statements(("name:endgeneration",), drop_needle=True)


class ChatTemplate:
    """The template of a model folder, in a sandbox: it comes with the model and may be anybody's.

    Raises:
        ModelError: the folder has no template, or one that can't be parsed.
    """

    def __init__(self, folder: Path) -> None:
        config = _config(folder)
        self._tokens = {name: _text(config[name]) for name in _NAMED if config.get(name) is not None}
        sandbox = ImmutableSandboxedEnvironment(
            trim_blocks=True, lstrip_blocks=True, extensions=[_Generation, "jinja2.ext.loopcontrols"]
        )
        sandbox.filters["tojson"] = _to_json
        sandbox.globals |= {"raise_exception": _refuse, "strftime_now": lambda form: datetime.now().strftime(form)}
        try:
            self._template = sandbox.from_string(_source(folder, config))
        except TemplateError as error:
            raise ModelError(f"the chat template in {folder} can't be read: {error}", do="mend the template") from None

    def render(self, messages: Messages, *, add_generation_prompt: bool = False) -> str:
        """The conversation as text.

        Raises:
            ValueError: the template refuses it or fails on it; the message is its own.
        """
        try:
            return self._template.render(
                messages=messages,
                tools=None,
                documents=None,
                add_generation_prompt=add_generation_prompt,
                **self._tokens,
            )
        except (TemplateError, TypeError, ArithmeticError) as error:  # what a template's own expressions raise
            raise ValueError(str(error) or type(error).__name__) from None


def _config(folder: Path) -> dict[str, Any]:
    try:
        return json.loads((folder / "tokenizer_config.json").read_text())
    except (OSError, ValueError) as error:
        raise ModelError(
            f"tokenizer_config.json in {folder} can't be read: {error}", do="copy the tokenizer's files anew"
        ) from None


def _source(folder: Path, config: dict[str, Any]) -> str:
    file = folder / "chat_template.jinja"
    if file.is_file():
        return file.read_text()
    found = config.get("chat_template")
    if isinstance(found, list):  # several by name
        found = {one["name"]: one["template"] for one in found}.get("default")
    if not isinstance(found, str):
        raise ModelError(
            f"the tokenizer in {folder} has no chat template",
            do="save one with the tokenizer (tokenizer.chat_template)",
        )
    return found


def _text(token: Any) -> str:
    return token["content"] if isinstance(token, dict) else str(token)


def _refuse(message: str) -> str:
    raise TemplateError(message)


def _to_json(value: Any, ensure_ascii: bool = False, indent: int | None = None, **kwargs: Any) -> str:
    """Jinja's own escapes what HTML would misread."""
    return json.dumps(value, ensure_ascii=ensure_ascii, indent=indent, **kwargs)
