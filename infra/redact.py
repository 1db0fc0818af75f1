"""Passwords in URLs: taken out of whatever is shown, logged or kept."""

import re

# scheme://user:password@host; the password may hold an @ that should have been written as %40, so the last one counts
_USERINFO = re.compile(r"(?P<scheme>\b[a-zA-Z][a-zA-Z0-9+.-]*://)(?P<who>[^\s/?#'\"<>]*)@")
_QUERY = re.compile(
    r"(?P<name>[?&](?:[\w.-]*[-_.])?(?:password|passwd|pwd|secret|token|signature|sig|api[-_]?key|access[-_]?key)=)"
    r"[^\s&#'\"<>]+",
    re.IGNORECASE,
)


def redact(text: str) -> str:
    """The text with ``https://user:password@host`` as ``https://host``, and secrets in a query as ``***``."""
    return _QUERY.sub(r"\g<name>***", _USERINFO.sub(r"\g<scheme>", text))


def holds_password(text: str) -> bool:
    """Whether a text has a URL with a password or a token in it. A user's name alone is none."""
    if any(":" in found["who"] for found in _USERINFO.finditer(text)):
        return True
    return _QUERY.search(text) is not None
