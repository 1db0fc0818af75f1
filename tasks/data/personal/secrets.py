"""Keys, tokens and passwords: detect-secrets' plugins for what has a maker's form, and an assignment's value.

Entropy alone is no sign here: commits, digests and order codes are as random as keys.
"""

import re
from collections.abc import Iterator
from functools import cache
from typing import Any

from tasks.data.personal.spans import Span

# RE2 and Python alike: what detect-secrets' plugins, and the table below, can find; most texts have none of it
_MARKS = (
    r"(?:A3T[A-Z0-9]|ABIA|ACCA|AKIA|ASIA)[0-9A-Z]{16}",
    r"gh[pousr]_[A-Za-z0-9_]{30}|github_pat_[A-Za-z0-9_]{20}",
    r"gl(?:pat|dt|ft|soat|rt|cbt|imt|ptt)-[A-Za-z0-9_-]{20}|GR1348941",
    r"xox[abposr]-[0-9A-Za-z-]{10}|hooks\.slack\.com/services/",
    r"[rs]k_live_[0-9a-zA-Z]{16}|sk-[A-Za-z0-9_-]{20}|sq0csp-",
    r"SG\.[A-Za-z0-9_-]{16}|eyJ[A-Za-z0-9_=-]{8}|AIza[0-9A-Za-z_-]{20}|ya29\.[0-9A-Za-z_-]{16}",
    r"pypi-Ag|npm_[A-Za-z0-9]{20}|hf_[A-Za-z]{20}|dop_v1_[0-9a-f]{20}|AccountKey=",
    r"(?:AC|SK)[a-z0-9]{32}|[0-9a-z]{32}-us[0-9]|[0-9]{8,10}:[0-9A-Za-z_-]{35}",
    r"[MNO][A-Za-z0-9_-]{23,25}\.[A-Za-z0-9_-]{6}\.[A-Za-z0-9_-]{27}",
    r"PRIVATE KEY|PuTTY-User-Key-File-|://[^\s/:@]*:[^\s/@]+@",
)
_NAMES = (
    r"(?P<{}>pass(?:word|wd|phrase|wort)|pwd|kennwort|contrase[nñ]a|mot de passe|senha)",
    r"api[ _-]?key|access[_-]?key|secret[_-]?key|secret|token",
)
_QUOTE = r"(?:\\{0,3}[\"'])?"  # in JSON inside JSON a quote has backslashes before it
_ASSIGNED = _QUOTE + r"\s{0,2}(?:is\s|lautet\s|ist\s|es\s|est\s|[:=]+>?)\s{0,2}" + _QUOTE
SECRET_HINT = "|".join(_MARKS) + rf"|(?i:(?:{_NAMES[0].format('word')}|{_NAMES[1]}){_ASSIGNED}[^\s\"'<>,;]{{8}})"

_HINT = re.compile("|".join(_MARKS))
_ASSIGNMENT = re.compile(rf"(?i)(?<![a-z])(?:{_NAMES[0].format('word')}|{_NAMES[1]}){_ASSIGNED}([^\s\"'<>,;]{{8,512}})")
_KEY_BLOCK = re.compile(
    r"-----BEGIN [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----"
    # header lines (RFC 1421), then base64; line feeds may be written as \n
    r"(?:\s*(?:[A-Z][A-Za-z]+-[A-Za-z]+: [^\n]*\n)*[A-Za-z0-9+/=\s:,.\\]*-----END [A-Z0-9 ]*PRIVATE KEY[A-Z ]*-----)?"
    r"|PuTTY-User-Key-File-[23](?:[A-Za-z0-9+/=\s:,.-]*Private-MAC: [0-9a-f]+)?"
)
# makers' forms that detect-secrets 1.5 has no plugin for: GitHub's fine-grained tokens, newer keys of Anthropic and
# OpenAI, Google's keys and access tokens, npm's, Hugging Face's, DigitalOcean's, keys of Stripe of any length
_TABLE = re.compile(
    r"(?<![A-Za-z0-9])(?:github_pat_[A-Za-z0-9_]{40,}|gh[pousr]_[A-Za-z0-9]{30,}|sk-(?:ant|proj|svcacct|or)-[A-Za-z0-9_-]{20,}"
    r"|sk-[A-Za-z0-9]{32,}|AIza[0-9A-Za-z_-]{30,}|ya29\.[0-9A-Za-z_-]{20,}|npm_[A-Za-z0-9]{30,}|hf_[A-Za-z]{30,}"
    r"|dop_v1_[0-9a-f]{60,}|[rs]k_live_[0-9A-Za-z]{16,}|xox[abposr]-[0-9A-Za-z-]{20,})"
)
_PLACEHOLDER = re.compile(
    r"(?i)[$%({*•…]|\.\.\.|^\[[a-z]+(?:_[0-9a-f]{8})?|^(?:x+|\d+-[a-z]+|process\.env.*|os\.environ.*|.*(?:your|example|placeholder|changeme|redacted|undefined"
    r"|insert|hidden|getenv|config\.).*)$"
)
_TOKEN_WEB = re.compile(r"eyJ[A-Za-z0-9_=-]+\.[A-Za-z0-9_=-]+(?:\.[A-Za-z0-9_=-]+)?")
_WORD, _LONGEST_WORD = re.compile(r"[^\s\"'<>`]{16,}"), 4096
# what examples call a user and a password
_GIVEN = frozenset(["password", "passwd", "pass", "pwd", "secret", "passwort", "user", "username", "token", "host"])


def secrets(text: str) -> Iterator[Span]:
    """Keys and tokens in a maker's form, private keys as a whole, passwords in URLs, and what a text assigns to one."""
    if _HINT.search(text):
        yield from (Span("secret", one.start(), one.end()) for one in _KEY_BLOCK.finditer(text))
        yield from (Span("secret", one.start(), one.end()) for one in _TABLE.finditer(text))
        yield from _by_plugins(text)
    for match in _ASSIGNMENT.finditer(text):
        # a closing sign belongs to the sentence; a ! may well belong to the password
        value = match.group(2).rstrip(".?:)]}`\\")
        if is_likely(value, password=match.group("word") is not None):
            yield Span("secret", match.start(2), match.start(2) + len(value))


def is_likely(value: str, *, password: bool) -> bool:
    """Whether an assigned value is a secret and not a word, a placeholder or code."""
    if len(value) < (8 if password else 12) or _PLACEHOLDER.search(value):
        return False
    classes = [
        any(map(test, value)) for test in (str.islower, str.isupper, str.isdigit, lambda sign: not sign.isalnum())
    ]
    letters, digits = classes[0] or classes[1], classes[2]
    return (letters and digits) or (password and (digits or (sum(classes) >= 3 and not value.istitle())))


def _by_plugins(text: str) -> Iterator[Span]:
    for found in _WORD.finditer(text):
        word = found.group()[:_LONGEST_WORD]
        if _HINT.search(word):
            for plugin in _plugins():
                yield from (
                    Span("secret", found.start() + one, found.start() + end) for one, end in _places(plugin, word)
                )


def _places(plugin: Any, word: str) -> Iterator[tuple[int, int]]:
    kind: str = plugin.secret_type
    if kind.startswith("JSON Web"):
        # its pattern ends with the signature's first letter; its check of header and body is what is wanted of it
        yield from (one.span() for one in _TOKEN_WEB.finditer(word) if any(plugin.analyze_string(one.group())))
        return
    url = kind.startswith("Basic Auth")  # of which the password only
    for match in (match for pattern in plugin.denylist for match in pattern.finditer(word)):
        if not url:
            yield match.span()
        elif match.group(1).lower() not in _GIVEN and not _PLACEHOLDER.search(match.group(1)):
            yield match.span(1)


@cache
def _plugins() -> tuple[Any, ...]:
    """One for each marked form; those that go by a bare word or by entropy are not among them."""
    from detect_secrets.plugins.aws import AWSKeyDetector
    from detect_secrets.plugins.azure_storage_key import AzureStorageKeyDetector
    from detect_secrets.plugins.basic_auth import BasicAuthDetector
    from detect_secrets.plugins.discord import DiscordBotTokenDetector
    from detect_secrets.plugins.github_token import GitHubTokenDetector
    from detect_secrets.plugins.gitlab_token import GitLabTokenDetector
    from detect_secrets.plugins.jwt import JwtTokenDetector
    from detect_secrets.plugins.mailchimp import MailchimpDetector
    from detect_secrets.plugins.openai import OpenAIDetector
    from detect_secrets.plugins.pypi_token import PypiTokenDetector
    from detect_secrets.plugins.sendgrid import SendGridDetector
    from detect_secrets.plugins.slack import SlackDetector
    from detect_secrets.plugins.square_oauth import SquareOAuthDetector
    from detect_secrets.plugins.stripe import StripeDetector
    from detect_secrets.plugins.telegram_token import TelegramBotTokenDetector
    from detect_secrets.plugins.twilio import TwilioKeyDetector

    tokens = (AWSKeyDetector, AzureStorageKeyDetector, DiscordBotTokenDetector, GitHubTokenDetector)
    tokens += (GitLabTokenDetector, MailchimpDetector, OpenAIDetector, PypiTokenDetector, SendGridDetector)
    tokens += (SlackDetector, SquareOAuthDetector, StripeDetector, TelegramBotTokenDetector, TwilioKeyDetector)
    return tuple(kind() for kind in (*tokens, BasicAuthDetector, JwtTokenDetector))
