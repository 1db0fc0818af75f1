"""Account, card and network numbers: each has a check digit or a grammar, which python-stdnum and ipaddress know."""

import ipaddress
import re
from collections.abc import Iterator

from stdnum import iban, luhn

from tasks.data.personal.spans import Span, before

# ---- IBAN (ISO 13616) ------------------------------------------------------------------------------------------------

IBAN_HINT = r"[A-Za-z]{2}[0-9]{2}[ -]?[A-Za-z0-9]{4}[ -]?[A-Za-z0-9]{3}"

_COUNTRY = re.compile(r"(?<![A-Za-z0-9])[A-Za-z]{2}\d{2}(?=[ -]?[A-Za-z0-9]{4})")
_SHORTEST, _LONGEST = 15, 34


def ibans(text: str) -> Iterator[Span]:
    """Account numbers with right check digits and their country's length, in groups or not."""
    taken = 0
    for match in _COUNTRY.finditer(text):
        if match.start() < taken:
            continue
        end = _iban_end(text, match.start())
        if end:
            taken = end
            yield Span("iban", match.start(), end)


def _iban_end(text: str, start: int) -> int | None:
    """Where the account number that begins at ``start`` ends: its country's structure fits one length only."""
    compact, place = "", start
    while place < len(text) and len(compact) < _LONGEST:
        sign = text[place]
        if sign.isascii() and sign.isalnum():
            compact += sign
            whole = place + 1 == len(text) or not text[place + 1].isalnum()
            if whole and len(compact) >= _SHORTEST and iban.is_valid(compact, check_country=False):
                return place + 1
        elif sign not in " -" or text[place - 1] in " -":
            return None
        place += 1
    return None


# ---- cards (ISO/IEC 7812) --------------------------------------------------------------------------------------------

CARD_HINT = r"[0-9](?:[ -]?[0-9]){11}"

_DIGITS = re.compile(r"(?<![\w.+])(?<!\w[-,])\d(?:[ -]?\d){11,18}(?![\w])(?![-.,]\w)")
_GROUPS = re.compile(r"\d+|\d{4}([ -])\d{4}\1\d{4}\1\d{1,4}(?:\1\d{1,3})?|\d{4}([ -])\d{6}\2\d{4,5}")
# by first digits: issuer's range and its lengths
_ISSUERS = re.compile(
    r"4\d{12}(?:\d{3}){0,2}"  # Visa: 13, 16, 19
    r"|(?:5[1-5]\d\d|222[1-9]|22[3-9]\d|2[3-6]\d\d|27[01]\d|2720)\d{12}"  # Mastercard: 16
    r"|3[47]\d{13}"  # American Express: 15
    r"|(?:6011|64[4-9]\d|65\d\d|62\d\d)\d{12}(?:\d{3})?"  # Discover, UnionPay: 16, 19
    r"|(?:30[0-5]\d|3095|36\d\d|3[89]\d\d)\d{10}(?:\d{2})?"  # Diners: 14, 16
    r"|35\d{14}|(?:2131|1800)\d{11}"  # JCB: 16, 15
    r"|(?:50\d\d|5[678]\d\d|6[37]\d\d)\d{8,15}"  # Maestro: 12 to 19
)
_NO_CARD = re.compile(
    r"(?i)\b(?:order|invoice|tracking|shipment|parcel|imei|serial|sscc|ean|id|bestell\w*|auftrag\w*|rechnung\w*|pedido"
    r"|commande|timestamp)\b[\w .:#]{0,12}\Z"
)
_SURELY = 14  # shorter numbers are goods' (EAN, 13 digits) unless they are called a card's
_IS_CARD = re.compile(r"(?i)\b(?:card|visa|mastercard|amex|karte\w*|kreditkarte\w*|carte|tarjeta|carta|pan)\b")


def cards(text: str) -> Iterator[Span]:
    """Numbers of an issuer's range and length with a right check digit (Luhn), grouped as cards are, or not grouped."""
    for match in _DIGITS.finditer(text):
        number = re.sub(r"\D", "", match.group())
        lead = before(text, match.start(), 40)
        if (
            _GROUPS.fullmatch(match.group())
            and _ISSUERS.fullmatch(number)
            and luhn.is_valid(number)
            and (_IS_CARD.search(lead) or (len(number) >= _SURELY and not _NO_CARD.search(lead)))
        ):
            yield Span("card", match.start(), match.end())


# ---- network addresses -----------------------------------------------------------------------------------------------

IP_HINT = r"[0-9]{1,3}\.[0-9]{1,3}\.[0-9]{1,3}\.[0-9]|[0-9A-Fa-f]{1,4}:[0-9A-Fa-f]{0,4}:[0-9A-Fa-f:]{2}"

_V4 = re.compile(r"(?<![\w.-])(?<![A-Za-z]/)\d{1,3}(?:\.\d{1,3}){3}(?!\w|\.\d|-\w)")
_V6 = re.compile(r"(?<![\w:.])[0-9A-Fa-f]{1,4}(?::[0-9A-Fa-f]{0,4}){2,7}(?![\w:])")
_COUNTED = re.compile(  # what has numbers like an address: versions, sections, object ids
    r"(?i)(?:\b(?:version|ver|release|firmware|build|kernel|semver|rv|revision|rev|update to|driver|bios|section|sect"
    r"|chapter|clause|paragraph|table|figure|oid|abschnitt|kapitel|tabelle|ziffer|fassung)s?\b|§)[^\d\n]{0,16}\Z"
)
_ADDRESSED = re.compile(r"(?i)\b(?:ip|ips|address|adresse|host|server|ping|client|from|von|login|ssh|dns|connect\w*)\b")
# the same at everybody's: resolvers that are public, routers as they come
_EVERYBODYS = frozenset(
    {"1.1.1.1", "1.0.0.1", "8.8.8.8", "8.8.4.4", "9.9.9.9", "10.0.0.1", "10.0.0.138"}
    | {"192.168.0.1", "192.168.1.1", "192.168.2.1", "192.168.178.1"}
)


def addresses(text: str) -> Iterator[Span]:
    """IPv4 and IPv6 addresses of a machine, private networks' too; none that is the same at everybody's, no version."""
    for match in _V4.finditer(text):
        if _is_v4(match.group(), before(text, match.start(), 40)):
            yield Span("ip", match.start(), match.end())
    if ":" in text:
        for match in _V6.finditer(text):
            end = match.end() - (match.group().endswith(":") and not match.group().endswith("::"))
            if _is_v6(text[match.start() : end]):
                yield Span("ip", match.start(), end)


def _is_v4(number: str, lead: str) -> bool:
    try:
        one = ipaddress.IPv4Address(number)
    except ValueError:
        return False
    parts = number.split(".")
    if (
        one.is_loopback
        or one.is_multicast
        or parts[0] in {"0", "255"}
        or number in _EVERYBODYS
        or _COUNTED.search(lead)
    ):
        return False
    if parts[3] in {"0", "255"} and one.is_private and not _ADDRESSED.search(lead):
        return False  # a network, not a machine
    return max(map(len, parts)) > 1 or _ADDRESSED.search(lead) is not None  # 1.2.3.4 is a section or a version


def _is_v6(number: str) -> bool:
    if sum(map(bool, number.split(":"))) < 3 or not any(map(str.isdigit, number)):
        return False  # a::b is a name in C++
    try:
        one = ipaddress.IPv6Address(number)
    except ValueError:
        return False
    return not (one.is_loopback or one.is_multicast or one.is_unspecified)
