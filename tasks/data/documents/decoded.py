"""A text document's bytes as text. Nothing is guessed: what can't be read names the place."""

import codecs
import re

MOST_BYTES = 16 << 20  # of one text document
_MARKS = (
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),  # before UTF-16, whose mark it begins with
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_DECLARED = re.compile(rb"<meta[^>]{0,200}?charset\s*=\s*[\"']?\s*([A-Za-z0-9_.:-]{2,40})", re.IGNORECASE)
_CONTROL = re.compile(r"[\x01-\x08\x0e-\x1f\x7f]")


def decode(data: bytes, *, html: bool = False) -> str:
    """Text with ``\\n`` as line end, control characters left out, a form feed as an empty line.

    UTF-8, or what a byte order mark says, or in HTML what its ``meta charset`` declares in the first 1,024 bytes.

    Raises:
        ValueError: too large, another encoding, or no text; names the line, or the byte.
    """
    if len(data) > MOST_BYTES:
        raise ValueError(
            f"{len(data):,} bytes; a text document may have {MOST_BYTES:,}: split it, or give it as records"
        )
    encoding, start = next(
        ((name, len(mark)) for mark, name in _MARKS if data.startswith(mark)), (_declared(data) if html else "utf-8", 0)
    )
    try:
        text = data[start:].decode(encoding)
    except UnicodeDecodeError as error:
        at = start + error.start
        line = data[:at].count(b"\n") + 1
        raise ValueError(f"not {encoding} at byte {at}, line {line}: {data[at : at + 4]!r}; save it as UTF-8") from None
    if "\0" in text:
        line = text[: text.index("\0")].count("\n") + 1
        raise ValueError(f"a NUL on line {line}: no text, or UTF-16 without its mark; save it as UTF-8")
    text = text.replace("\r\n", "\n").replace("\r", "\n").replace("\f", "\n\n").replace("\v", "\n")
    return _CONTROL.sub("", text).replace("\u00ad", "").replace("\u200b", "").replace("\ufeff", "")


def _declared(data: bytes) -> str:
    match = _DECLARED.search(data[:1024])
    if match is None:
        return "utf-8"
    name = match.group(1).decode("ascii").lower()
    try:
        found = codecs.lookup(name).name
    except LookupError:
        raise ValueError(f"it declares the encoding {name!r}, which nobody knows: save it as UTF-8") from None
    # as browsers do (WHATWG Encoding, §4.2): pages that say Latin-1 or ASCII are of Windows' code page
    return "cp1252" if found in ("iso8859-1", "ascii") else "utf-8" if found.startswith("utf-16") else found
