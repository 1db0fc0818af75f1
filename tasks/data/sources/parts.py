"""A large plain JSONL file in parts, cut at ends of lines, so that several processes read it."""

import codecs
import time
from collections.abc import Iterator
from typing import BinaryIO, NamedTuple

from tasks.data.records import Broken, Record
from tasks.data.sources.framing import framed
from tasks.data.sources.jsonl import json_records
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import LocalFile, open_local
from tasks.errors import SourceChanged, SourceError

PART_BYTES = 32 << 20
_QUIET_SECONDS = 600.0  # a file written so lately may be written now: it is read as a whole, and again if it changes
_CHUNK = 1 << 20
_UTF_16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


class Part(NamedTuple):
    """Bytes ``begin`` to ``end`` of a file; ``first``: its first line, from 1; ``last``: the file ends there."""

    begin: int
    end: int
    first: int
    last: bool


def parts_of(obj: SourceObject, part_bytes: int = PART_BYTES) -> list[Part]:
    """The parts of a file; none of what is read as a whole: small, packed, on S3, written lately, or in UTF-16.

    Raises:
        SourceChanged, SourceError: as ``opening`` does.
    """
    quiet = time.time() - obj.modified_ns / 1e9 > _QUIET_SECONDS
    if obj.on_s3 or obj.refused or obj.codec or obj.form != "jsonl" or obj.size < 2 * part_bytes or not quiet:
        return []
    found, begin, line = [], 0, 1
    with open_local(obj) as file:
        if file.read(2) in _UTF_16:
            return []
        while begin < obj.size:
            end = _line_end(file, begin + part_bytes, obj.size)
            found.append(Part(begin, end, line, end == obj.size))
            line += _lines(file, begin, end)
            begin = end
    return found


def read_part(obj: SourceObject, part: Part, caps: Caps) -> Iterator[Record | Broken]:
    """Records of one part, with the file's line numbers.

    Raises:
        SourceError: the file was written meanwhile.
    """
    try:
        with open_local(obj) as file:
            local = LocalFile(obj, file)
            chunks = _chunks(local, part)
            for one in json_records(framed(chunks, caps.line_bytes, lambda: False), caps):
                # line 0 is the object as a whole
                yield one._replace(line=one.line + part.first - 1) if one.line else one
            local.check_unchanged()
    except SourceChanged as error:
        raise SourceError(
            error.what, do="let its writer finish, or write to another name and rename it; then start the night again"
        ) from error


def _chunks(local: LocalFile, part: Part) -> Iterator[bytes]:
    position = part.begin
    local.file.seek(position)
    while position < part.end:
        chunk = local.file.read(min(_CHUNK, part.end - position))
        if not chunk:
            local.check_unchanged()
            return
        yield chunk.removeprefix(codecs.BOM_UTF8) if position == 0 else chunk
        position += len(chunk)


def _line_end(file: BinaryIO, start: int, size: int) -> int:
    """Where the line ends that ``start`` lies in."""
    if start >= size:
        return size
    file.seek(start)
    position = start
    while chunk := file.read(_CHUNK):
        found = chunk.find(b"\n")
        if found >= 0:
            return min(position + found + 1, size)
        position += len(chunk)
    return size


def _lines(file: BinaryIO, begin: int, end: int) -> int:
    file.seek(begin)
    count = 0
    while begin < end:
        chunk = file.read(min(_CHUNK, end - begin))
        if not chunk:
            break
        count += chunk.count(b"\n")
        begin += len(chunk)
    return count
