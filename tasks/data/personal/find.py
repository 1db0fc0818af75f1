"""Personal data and secrets in one text, and patterns that say which texts of many have to be looked at."""

from collections.abc import Callable, Iterable
from functools import partial

from tasks.data.personal import contact, numbers, secrets
from tasks.data.personal.spans import KINDS, PersonalKind, Span, without_overlaps
from tasks.data_spec import PHONE_REGIONS

# A text with something of a kind matches the kind's pattern; most texts match none. In what RE2 and Python share.
HINTS: dict[PersonalKind, str] = {
    "email": contact.EMAIL_HINT,
    "phone": contact.PHONE_HINT,
    "iban": numbers.IBAN_HINT,
    "card": numbers.CARD_HINT,
    "ip": numbers.IP_HINT,
    "secret": secrets.SECRET_HINT,
}

_FINDERS: dict[PersonalKind, Callable[[str], Iterable[Span]]] = {
    "email": contact.emails,
    "phone": contact.phones,
    "iban": numbers.ibans,
    "card": numbers.cards,
    "ip": numbers.addresses,
    "secret": secrets.secrets,
}


def find(text: str, regions: tuple[str, ...] = PHONE_REGIONS, kinds: Iterable[PersonalKind] = KINDS) -> list[Span]:
    """Every e-mail address, telephone number, IBAN, card number, IP address and secret, in the text's order.

    No two overlap: a password in a URL is a secret, although its end and the host read like an address.

    Args:
        regions: ISO 3166 codes of the countries whose national telephone numbers are known.
        kinds: those that are looked for.
    """
    finders = _FINDERS | {"phone": partial(contact.phones, regions=regions)}
    return without_overlaps(span for kind in kinds for span in finders[kind](text))
