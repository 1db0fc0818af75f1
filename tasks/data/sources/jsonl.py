"""JSON Lines into records. A line that is no record is one Broken, and the next line is read."""

import json
import math
import re
from collections.abc import Callable, Iterator
from typing import Any

from tasks.data.records import Broken, Record
from tasks.data.sources.framing import Lines, Tail
from tasks.data.sources.objects import KEPT_BYTES, Caps

_BLANK = b" \t\r\n"
_BOM = b"\xef\xbb\xbf"
_ALL_BUT_BRACKETS = bytes(set(range(256)) - set(b"[{\n"))
_ESCAPE = re.compile(rb"\\u[dD]")
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")

Decode = Callable[[str], tuple[Any, int]]


class _Refused(ValueError):
    """JSON of the grammar, and none that we take."""


def json_records(parts: Iterator[Lines | Broken | Tail], caps: Caps) -> Iterator[Record | Broken]:
    """The records of lines, in their order; blank lines are none.

    The loop takes what is plainly a record, at some microseconds a line; what isn't goes to ``json_record``.
    """
    decode, depth = _decoder(), caps.depth
    for part in parts:
        if isinstance(part, Lines):
            number, harmless = part.first - 1, _harmless(part.text, depth)
            for line in part.lines:
                number += 1
                try:
                    text = str(line, "utf-8")
                    value, end = decode(text)
                except (ValueError, RecursionError):
                    if line and (made := _record(line, number, caps, decode)):
                        yield made
                    continue
                if harmless and type(value) is dict and end == len(text):
                    yield Record(value, line, number)
                else:
                    yield _judged(value, text, end, line, number, caps)
        elif isinstance(part, Broken):
            yield part
        else:
            yield from _tail(part, caps, decode)


def json_record(raw: bytes, line: int, caps: Caps) -> Record | Broken | None:
    """One line; None where it is blank."""
    return _record(raw, line, caps, _decoder())


def _record(raw: bytes, line: int, caps: Caps, decode: Decode) -> Record | Broken | None:
    bare = raw.strip(_BLANK).removeprefix(_BOM).strip(_BLANK)  # files put together bring their marks along
    if not bare:
        return None
    try:
        text = str(bare, "utf-8")
        value, end = decode(text)
    except UnicodeDecodeError as error:
        reason = f"not UTF-8: {error.reason} at byte {error.start + 1} of the line"
    except RecursionError:
        reason = f"nested deeper than {caps.depth}"
    except json.JSONDecodeError as error:
        reason = f"not JSON: {error.msg} at character {error.pos + 1}"
    except _Refused as error:
        reason = str(error)
    except ValueError as error:  # a whole number without end
        reason = f"not JSON that can be read: {error}"
    else:
        return _judged(value, text, end, raw, line, caps)
    if b"\0" in raw:
        reason += "; it holds NUL bytes: UTF-16 without a byte order mark, or damaged"
    return _broken(raw, line, reason)


def _judged(value: Any, text: str, end: int, raw: bytes, line: int, caps: Caps) -> Record | Broken:
    """What JSON was read as: a record, if nothing follows it and it is an object that we can hold."""
    if text[end:].strip(" \t\r"):
        return _broken(raw, line, "not JSON: something follows its end")
    if type(value) is not dict:
        return _broken(raw, line, f"a {type(value).__name__}, not an object")
    if raw.count(b"{") + raw.count(b"[") > caps.depth and _deeper(value, caps.depth):
        return _broken(raw, line, f"nested deeper than {caps.depth}")
    if _SURROGATE.search(text) and _half_pair(value):
        return _broken(raw, line, "not Unicode text: half a surrogate pair")
    return Record(value, raw.rstrip(b"\r"), line)


def _broken(raw: bytes, line: int, reason: str) -> Broken:
    return Broken(raw[:KEPT_BYTES].rstrip(b"\r"), line, reason)


def _tail(tail: Tail, caps: Caps, decode: Decode) -> Iterator[Record | Broken]:
    """A last line without its line end is a record if it reads as one: half an object never does."""
    made = _record(tail.rest, tail.line, caps, decode)
    if isinstance(made, Record):
        yield made
    if tail.damage is not None:
        rest = b"" if isinstance(made, Record) else tail.rest
        yield Broken(
            rest[:KEPT_BYTES], 0, f"{tail.damage}; read up to line {tail.line - (not isinstance(made, Record))}"
        )
    elif isinstance(made, Broken) and not tail.growing:
        yield made


def _harmless(text: bytes, depth: int) -> bool:
    """Whether no line of them can be nested too deep, nor hold half a surrogate pair."""
    brackets = text.translate(None, _ALL_BUT_BRACKETS).split(b"\n")
    return len(max(brackets, key=len)) <= depth and _ESCAPE.search(text) is None


def _deeper(value: Any, depth: int) -> bool:
    level = [value]
    for _ in range(depth):
        level = [
            child
            for one in level
            for child in (one.values() if isinstance(one, dict) else one)
            if isinstance(child, dict | list)
        ]
        if not level:
            return False
    return True


def _half_pair(value: Any) -> bool:
    """JSON can spell half of one, which no file and no Arrow column can hold."""
    try:
        json.dumps(value, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return True
    return False


def _decoder() -> Decode:
    return json.JSONDecoder(object_pairs_hook=_object, parse_constant=_constant, parse_float=_float).raw_decode


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))
        raise _Refused(f"the key {twice!r:.80} stands twice in one object")
    return value


def _constant(name: str) -> float:
    raise _Refused(f"{name} is no number of JSON's")


def _float(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise _Refused(f"the number {text:.40} is too large")
    return value
