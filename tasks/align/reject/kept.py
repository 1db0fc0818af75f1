"""The answers drawn so far, round by round, in a file that survives the program: none is drawn twice."""

import json
import os
from pathlib import Path
from typing import Any

from infra.digest import Digest
from tasks.align.faults import explain_unwritable
from tasks.align.reject.choose import Answer
from tasks.errors import ModelError

FILE = "drawn-rounds.jsonl"

Round = list[list[Answer]]  # of each of its prompts, the answers


def read_rounds(file: Path, context: Digest) -> list[Round]:
    """The whole rounds of the file; none where there is no file. A last line that was cut short is taken off.

    Raises:
        ModelError: the file is of another training, or damaged.
    """
    if not file.exists():
        return []
    data = file.read_bytes()
    whole = data[: data.rfind(b"\n") + 1]
    if len(whole) < len(data):
        os.truncate(file, len(whole))  # killed while writing: that round is drawn again
    lines = whole.splitlines()
    if not lines:
        return []
    try:
        found = json.loads(lines[0])["context"]
        rounds = [[[Answer.model_validate(one) for one in prompt] for prompt in json.loads(line)] for line in lines[1:]]
    except (ValueError, KeyError, TypeError) as error:
        raise ModelError(
            f"the drawn answers in {file} are damaged: {str(error).partition(chr(10))[0]}",
            do="run again with --fresh, which draws them anew",
        ) from error
    if found != context:
        raise ModelError(
            f"the drawn answers in {file} are of another training (context {found}, this one is {context}): the "
            "recipe, the data, the code or a library's version changed since",
            do="run again with --fresh, which draws them anew",
        )
    return rounds


def add_round(file: Path, context: Digest, found: Round) -> None:
    """Append a round, on the disk when this returns.

    Raises:
        ModelError: it can't be written.
    """
    line: list[Any] = [[answer.model_dump() for answer in prompt] for prompt in found]
    try:
        new = not file.exists() or file.stat().st_size == 0
        with file.open("ab") as out:
            if new:
                out.write(json.dumps({"context": context}).encode() + b"\n")
            out.write(json.dumps(line, ensure_ascii=False, allow_nan=False).encode() + b"\n")
            out.flush()
            os.fsync(out.fileno())
    except OSError as error:
        raise explain_unwritable(file, error) from error
