"""E-mail addresses and telephone numbers: patterns propose, rules and ``phonenumbers`` (libphonenumber) decide."""

import re
from collections.abc import Iterator
from functools import lru_cache

import phonenumbers

from tasks.data.personal.spans import Span, before
from tasks.data_spec import PHONE_REGIONS

# ---- e-mail ----------------------------------------------------------------------------------------------------------

# RE2 and Python alike; every address has one of these
EMAIL_HINT = r"[^\s@]@[^\s@]+\.[^\s@.]|[\[({] ?[aA][tT] ?[\])}]"

_LOCAL_BACKWARDS = re.compile(r"[\w.+%'-]+")
_DOMAIN = re.compile(r"(?:[\w-]{1,63}\.){1,8}([^\W\d_]{2,24}|xn--[a-z0-9-]{2,50})(?![\w-])")
_SPELT = re.compile(
    r"(?i)(?<![\w.+-])[\w.+-]{1,64}\s?[\[({]\s?at\s?[\])}]\s?[\w-]{1,63}"
    r"(?:(?:\.|\s?[\[({]\s?dot\s?[\])}]\s?)[\w-]{2,63}){1,4}"
)
# names that the public DNS never has, and endings of files that stand behind an @ (logo@2x.png)
_NO_DOMAIN = frozenset(
    {"local", "localdomain", "localhost", "internal", "intranet", "lan", "home", "corp", "invalid"}
    | {"png", "jpg", "jpeg", "gif", "svg", "webp", "ico", "js", "mjs", "ts", "css", "scss", "html", "json", "yml"}
)
_MACHINE = re.compile(r"(?:\b(?:ssh|scp|sftp|mosh|rsync)\s(?:\S+\s){0,3}|://)\Z")
_REMOTE = re.compile(r":[\w~./-]*/")  # git@host:owner/name


def emails(text: str) -> Iterator[Span]:
    """Addresses with a public domain; also spelt ``name [at] host [dot] org``. No logins (``ssh a@b``), no remotes."""
    at = text.find("@")
    while at >= 0:
        domain = _DOMAIN.match(text, at + 1)
        # a local part has at most 64 characters (RFC 5321, 4.5.3.1.1)
        local = _LOCAL_BACKWARDS.match(text[max(0, at - 64) : at][::-1])
        if domain and local:
            name = local.group()[::-1].lstrip(".'-%")
            start = at - len(name)
            remote = name in {"git", "hg", "svn"} and _REMOTE.match(text, domain.end())
            login = _MACHINE.search(before(text, start, 60))
            if name and domain.group(1).lower() not in _NO_DOMAIN and not remote and not login:
                yield Span("email", start, domain.end())
        at = text.find("@", at + 1)
    if "[" in text or "(" in text or "{" in text:
        yield from (Span("email", match.start(), match.end()) for match in _SPELT.finditer(text))


# ---- telephone -------------------------------------------------------------------------------------------------------

# seven digits (E.164 knows no shorter number with its country's code), at most five signs between two of them
PHONE_HINT = "[0-9](?:[ \u00a0().\\-/]{0,5}[0-9]){6}"

_NUMBER = re.compile(
    r"(?<![\w+])(?<!\w[.,#/-])(?<!\d:)(?:\+ ?|\(\+?)?\(?\d(?:[ \u00a0]?[().\-/]{0,2}[ \u00a0]?\(?\d){6,17}"
    r"(?P<extension> ?(?:x|ext\.?) ?\d{1,6})?(?![\w%])(?![.,/:-]\w)"
)
_DATE = re.compile(r"(?<!\d)(?:\d{4}[-./]\d{1,2}[-./]\d{1,2}|\d{1,2}([./-])\d{1,2}\1(?:19|20)\d\d)(?!\d)")
_DECIMAL = re.compile(r"\d\.\d+")
_NORTH_AMERICAN = re.compile(r"(?:1[ .-])?(?:\(\d{3}\) ?|\d{3}([.-]))\d{3}(?(1)\1|[.-])\d{4}")
_CALLED = re.compile(
    r"(?i)(?<![^\W_])(?:phone|tel|call|ring|dial|text|sms|mobile|cell|fax|whatsapp|hotline|landline|reach|contact|handy"
    r"|mobil|nummer|number is|number:|telefon|festnetz|anruf|rückruf|ruf|portable|appelez|téléphone|numéro|móvil|movil"
    r"|teléfono|telefono|llam|cellulare|chiam|bel me|gsm|ligue|telemóvel|dzwoń|komórk)"
)
_OTHERWISE_CALLED = re.compile(
    r"(?i)\b(?:order|invoice|ticket|article|part|serial|ref|reference|case|tracking|isbn|ean|sku|lot|batch|account|acct"
    r"|customer|contract|parcel|id|call number|bestell\w*|rechnung\w*|auftrag\w*|kunden\w*|vertrag\w*|artikel\w*|iban"
    r"|vat|tax|imei|order no|konto\w*|facture|commande|pedido|factura|error|timestamp)\b[\w .:#]{0,12}\Z"
)


def phones(text: str, regions: tuple[str, ...] = PHONE_REGIONS) -> Iterator[Span]:
    """Numbers with a country's code, and national ones that are valid and written, or called, like one to dial."""
    for match in _NUMBER.finditer(text):
        number = match.group().removesuffix(match.group("extension") or "")
        start = match.start() + (number.startswith("(") and ")" not in number)
        if _is_phone(number[start - match.start() :], before(text, start, 40), regions):
            yield Span("phone", start, match.end())


def _is_phone(number: str, lead: str, regions: tuple[str, ...]) -> bool:
    digits = re.sub(r"\D", "", number)
    if number.lstrip("(").startswith("+"):
        return parsed(number, ()) is not None
    called = _CALLED.search(lead) is not None
    if _DATE.search(number) or _DECIMAL.fullmatch(number) or _OTHERWISE_CALLED.search(lead):
        return False
    if digits.startswith("00"):
        return (called or " " in number) and _e164(f"+{digits[2:]}", None, strict=not called) is not None
    if _NORTH_AMERICAN.fullmatch(number):
        # people invent and mistype numbers: one that is called a number to dial need not exist
        return called or _e164(f"+1{digits[-10:]}", None, strict=True) is not None
    if digits.startswith("0") and len(digits) >= (8 if called else 10):
        written = re.search(r"\d[ /().-]", number) is not None
        existing = any(_e164(number, region, strict=True) for region in regions)
        return (existing and (called or written)) or (called and 10 <= len(digits) <= 12)
    return called and len(digits) >= 9 and any(_e164(number, region, strict=True) for region in regions)


@lru_cache(maxsize=4096)
def parsed(number: str, regions: tuple[str, ...]) -> str | None:
    """The number in E.164's form: by its country's code, else of the first region it is valid in; else None."""
    number = number.replace("(0)", "")
    digits = re.sub(r"\D", "", number)
    if number.lstrip("( ").startswith("+") or digits.startswith("00"):
        return _e164(f"+{digits.removeprefix('00')}", None, strict=digits.startswith("00"))
    return next((one for region in regions if (one := _e164(number, region, strict=True))), None)


def _e164(number: str, region: str | None, *, strict: bool) -> str | None:
    try:
        one = phonenumbers.parse(number, region)
    except phonenumbers.NumberParseException:
        return None
    fits = phonenumbers.is_valid_number(one) if strict else phonenumbers.is_possible_number(one)
    return phonenumbers.format_number(one, phonenumbers.PhoneNumberFormat.E164) if fits else None
