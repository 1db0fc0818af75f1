"""Personal data taken out of a text: by marks that are the same for the same value, or by a kind's bare name."""

import hashlib
import hmac
import re
from collections.abc import Sequence

from tasks.data.personal.contact import parsed
from tasks.data.personal.find import find
from tasks.data.personal.spans import Span
from tasks.data_spec import PHONE_REGIONS
from tasks.errors import MaskError

_LEAST_KEY = 16
_HEX = 8
# in reports also what only might be something: a number of nine or more digits, whatever stands between them
_LONG_NUMBER = re.compile(r"(?<!\w)\+?\(?\d(?:[ ().,/:-]{0,2}\d){8,}")
_ESCAPED = re.compile(r"\\u([0-9a-fA-F]{4})")


def mask(text: str, spans: Sequence[Span], key: bytes, regions: tuple[str, ...] = PHONE_REGIONS) -> str:
    """Put ``[EMAIL_3f2a9c01]`` and the like where the spans are.

    The digits are the first eight of an HMAC-SHA256 (RFC 2104) of kind and value: one value has one mark wherever it
    stands and however it is written (+49 171 2345678, 0171/2345678), and without the key nothing leads back. Who has
    the key can try values: it is a secret, and the same for all of a data set.

    Args:
        spans: of ``find``: in the text's order, none over another.

    Raises:
        MaskError: the key is shorter than 16 bytes, or the spans overlap.
    """
    if len(key) < _LEAST_KEY:
        raise MaskError(f"the key of the masks has {len(key)} bytes", do=f"take {_LEAST_KEY} random bytes or more")
    parts, place = [], 0
    for span in spans:
        if span.start < place:
            raise MaskError(f"a span begins at {span.start}, inside the one before", do="mask the spans of one `find`")
        value = canonical(span, text[span.start : span.end], regions)
        seal = hmac.new(key, f"{span.kind}:{value}".encode(), hashlib.sha256).hexdigest()[:_HEX]
        parts += [text[place : span.start], f"[{span.kind.upper()}_{seal}]"]
        place = span.end
    return "".join([*parts, text[place:]])


def canonical(span: Span, value: str, regions: tuple[str, ...] = PHONE_REGIONS) -> str:
    """One spelling of a value, so that it has one mark: telephone numbers by E.164, addresses in small letters."""
    if span.kind == "phone":
        return parsed(value, regions) or re.sub(r"\D", "", value)
    if span.kind == "email":
        spelt = re.sub(
            r"(?i)\s?[\[({]\s?(at|dot)\s?[\])}]\s?", lambda one: "@" if one[1].lower() == "at" else ".", value
        )
        return spelt.lower()
    if span.kind in {"iban", "card"}:
        return re.sub(r"[ -]", "", value).upper()
    return value.lower() if span.kind == "ip" else value


def shown(text: str, limit: int | None = None) -> str:
    """A text as a report may show it: ``[EMAIL]`` for an address, ``[NUMBER]`` for any long number, no bytes.

    Args:
        limit: most characters of the result; cut after masking, so that no half of a value is left.
    """
    if text.startswith("base64:"):  # what isn't text can't be looked at
        return f"[{len(text) * 3 // 4} bytes]"
    plain = _ESCAPED.sub(_unescaped, text)  # JSON may spell an @ as \u0040
    parts, place = [], 0
    for span in find(plain):
        parts += [_LONG_NUMBER.sub("[NUMBER]", plain[place : span.start]), f"[{span.kind.upper()}]"]
        place = span.end
    whole = "".join([*parts, _LONG_NUMBER.sub("[NUMBER]", plain[place:])])
    return whole if limit is None or len(whole) <= limit else whole[: limit - 1] + "…"


def _unescaped(match: re.Match[str]) -> str:
    sign = chr(int(match.group(1), 16))
    return sign if sign.isprintable() else match.group()
