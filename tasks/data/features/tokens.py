"""What the training's tokenizer will make of a pair: TRL's token ids, counted, and what goes wrong on the way.

TRL (1.16, ``DPOTrainer._prepare_dataset``) renders the prompt alone, with chosen and with rejected, tokenises the three
texts as wholes, and takes as the answer what follows the ids they share. So is counted here, with the template's own
tokens.
"""

import json
import re
import unicodedata
from collections.abc import Iterator
from functools import lru_cache
from itertools import takewhile
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
from tokenizers import Tokenizer

from tasks.data.features.words import Encoder
from tasks.lm.template import ChatTemplate

COLUMNS = ("prompt", "chosen", "rejected", "error")
CODE = ("tasks/data/features/words.py", "tasks/lm/template.py")
LIBRARIES = ("tokenizers", "jinja2", "regex")

SCHEMA = pa.schema(
    [
        ("prompt_tokens", pa.int64()),
        ("chosen_tokens", pa.int64()),
        ("rejected_tokens", pa.int64()),
        ("cut_equal", pa.bool_()),
        ("cut_empty", pa.bool_()),
        ("template_error", pa.string()),
    ]
)
_FILES = ("tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
_ROWS = 1024  # encoded at once: tokenizers spreads a batch over its threads, and Encoding objects are large

_UNSEEN = dict.fromkeys(SCHEMA.names[:3], 0) | {"cut_equal": False, "cut_empty": False}

Ids = list[int]
Messages = list[dict[str, str]]


class Rendered(NamedTuple):
    """A row as text; an answer that the row lacks (a label's other side, a document's not yet sampled) is None."""

    prompt: str
    chosen: str | None
    rejected: str | None


def compute(rows: pa.Table, model: Path, max_prompt_tokens: int, max_answer_tokens: int) -> pa.Table:
    """Token counts and what truncation or the template would spoil.

    Args:
        rows: with ``prompt``, ``chosen``, ``rejected`` (JSON lists of messages) and ``error``.
        model: a folder with ``tokenizer.json``, ``tokenizer_config.json`` and the chat template.
        max_prompt_tokens, max_answer_tokens: the recipe's. An answer is cut to its bound, less what a prompt has above
            its own: as TRL's ``keep_start`` cuts the end of both together.

    Returns:
        as many rows, in the same order: ``prompt_tokens``, ``chosen_tokens``, ``rejected_tokens`` (the template's among
        them; 0 where there is no such text); ``cut_equal``: both answers differ, but not in what a cut at the bounds
        leaves; ``cut_empty``: it leaves nothing of an answer; ``template_error``: why the row doesn't become what was
        meant, or null.

    Raises:
        ModelError: the folder has no usable tokenizer files or template.
    """
    files = tuple((model / name).stat() for name in _FILES if (model / name).exists())
    changed = tuple((file.st_mtime_ns, file.st_size) for file in files)
    reader = _reader(model, max_prompt_tokens, max_answer_tokens, changed)
    columns: dict[str, list[Any]] = {name: [] for name in SCHEMA.names}
    for batch in rows.select(["prompt", "chosen", "rejected", "error"]).to_batches(_ROWS):
        for told in reader.look(batch.to_pylist()):
            for name in SCHEMA.names:
                columns[name].append(told[name])
    return pa.table(columns, schema=SCHEMA)


@lru_cache(maxsize=1)
def _reader(model: Path, max_prompt: int, max_answer: int, changed: object) -> "_Reader":
    """One a process, as long as the files are the same: each made anew leaves 3 MB behind, and there is one a shard."""
    return _Reader(model, max_prompt, max_answer)


class _Reader:
    def __init__(self, model: Path, max_prompt: int, max_answer: int) -> None:
        self.template = ChatTemplate(model)
        text = (model / "tokenizer.json").read_text()
        self.tokenizer, told = Tokenizer.from_str(text), json.loads(text)
        self.max_prompt, self.max_answer = max_prompt, max_answer
        added = self.tokenizer.get_added_tokens_decoder().values()
        # longest first: so the tokenizer itself looks for them
        names = sorted((token.content for token in added if token.content.strip()), key=len, reverse=True)
        self.structure = re.compile("|".join(map(re.escape, names)) or r"(?!)")
        self.cuttable = not any(one.lstrip or one.rstrip or one.single_word or one.normalized for one in added)
        self.encoder = Encoder(self.tokenizer, told)
        self.unwritable = unwritable(told)

    def look(self, rows: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
        told: list[tuple[Rendered | None, str | None]] = [self._render(row) for row in rows]
        parts = [self._parts(rendered) if rendered else [] for rendered, _ in told]
        encoded = iter(self.encoder.encode([part for one in parts for part in one if part is not None]))
        for (rendered, error), one in zip(told, parts, strict=True):
            if rendered is None:
                yield _UNSEEN | {"template_error": error}
                continue
            ids = [None if part is None else next(encoded) for part in one]
            yield self._row(ids, error or self._lost(one, ids))

    # ---- text --------------------------------------------------------------------------------------------------------

    def _render(self, row: dict[str, Any]) -> tuple[Rendered | None, str | None]:
        if row["error"] is not None:
            return None, None
        prompt, chosen, rejected = (json.loads(row[name]) for name in ("prompt", "chosen", "rejected"))
        try:
            rendered = Rendered(
                self.template.render(prompt, add_generation_prompt=True),
                self.template.render([*prompt, *chosen]) if chosen else None,
                self.template.render([*prompt, *rejected]) if rejected else None,
            )
        except ValueError as error:
            return None, f"the chat template refuses it: {error}"
        return rendered, self._spoilt(rendered, prompt, chosen, rejected)

    def _spoilt(self, text: Rendered, prompt: Messages, chosen: Messages, rejected: Messages) -> str | None:
        for message in (*prompt, *chosen, *rejected):
            structure = self.structure.search(message["content"])
            if structure:
                return f"a text holds {structure.group()}, which the tokenizer takes for the template's own"
        for messages, where in ((prompt, text.prompt), (chosen, text.chosen), (rejected, text.rejected)):
            for message in messages:
                if where is not None and message["content"].strip() not in where:
                    return f"the chat template changes what the {message['role']} says"
        return None

    def _parts(self, text: Rendered) -> list[str | None]:
        """What the three texts begin with, up to the template's last token in the prompt, and the rest of each.

        A tokenizer cuts a text at such tokens before anything else: the parts' ids are the text's, and the prompt is
        encoded once.
        """
        marks = list(self.structure.finditer(text.prompt)) if self.cuttable else []
        head = text.prompt[: marks[-1].start()] if marks else ""
        if not all(one is None or one.startswith(head) for one in text):
            head = ""
        return [head, *(None if one is None else one[len(head) :] for one in text)]

    # ---- ids ---------------------------------------------------------------------------------------------------------

    def _row(self, ids: list[Ids | None], error: str | None) -> dict[str, Any]:
        head, prompt, *both = ids
        assert head is not None
        assert prompt is not None
        shared = min((shared_length(prompt, one) for one in both if one is not None), default=len(prompt))
        answers = [None if one is None else one[shared:] for one in both]
        if error is None and shared < len(prompt):
            error = "the chat template ends the prompt differently once an answer follows"
        length = len(head) + shared
        room = max(0, self.max_answer - max(0, length - self.max_prompt))
        kept = [one[:room] for one in answers if one is not None]
        differ = None not in answers and answers[0] != answers[1]
        return {
            "prompt_tokens": length,
            "chosen_tokens": len(answers[0] or ()),
            "rejected_tokens": len(answers[1] or ()),
            "cut_equal": differ and kept[0] == kept[1],
            "cut_empty": not all(kept),
            "template_error": error,
        }

    def _lost(self, texts: list[str | None], ids: list[Ids | None]) -> str | None:
        for text, one in zip(texts, ids, strict=True):
            if text and one is not None and self._loses(text, one):
                return "the tokenizer does not give back what it was given"
        return None

    def _loses(self, text: str, ids: Ids) -> bool:
        if self.unwritable is not None:
            return self.unwritable.search(text.encode()) is not None
        return _signs(self.tokenizer.decode(ids, skip_special_tokens=False)) != _signs(text)


def shared_length(one: Ids, other: Ids) -> int:
    """How many ids both begin with."""
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], zip(one, other, strict=False)))


def unwritable(told: dict[str, Any]) -> re.Pattern[bytes] | None:
    """Of a tokenizer that works on bytes: those it has no token for, and drops. None: it works in another way.

    A text without them comes back as it was; nobody has to decode it to know.

    Args:
        told: the tokenizer as JSON.
    """
    decoder = told.get("decoder") or {}
    kinds = [decoder.get("type"), *(one.get("type") for one in decoder.get("decoders", ()))]
    if told.get("normalizer") is not None or "ByteLevel" not in kinds or told["model"]["type"] != "BPE":
        return None
    vocabulary = told["model"]["vocab"]
    missing = bytes(byte for byte in range(256) if _byte_sign(byte) not in vocabulary)
    return re.compile(b"[" + re.escape(missing) + b"]" if missing else rb"(?!)")


def _byte_sign(byte: int) -> str:
    """GPT-2's sign for a byte: itself where it is printable Latin-1, else one from U+0100 on, in order."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    return chr(byte) if byte in printable else chr(0x100 + sum(other not in printable for other in range(byte)))


def _signs(text: str) -> str:
    """Without white space, and as compatible signs: what tokenizers that aren't by bytes keep at best."""
    return "".join(unicodedata.normalize("NFKC", text).split())
