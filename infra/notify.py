"""Tell people through Prefect's notification blocks: Slack, Teams, any webhook, e-mail. Never in the way of the work.

Whoever is told lives outside: slow, down, or set up wrongly. ``tell`` raises nothing and waits a bounded time;
what went wrong comes back as sentences. An address is most often a secret (whoever knows a Slack URL may post), and
errors and logs of the libraries below hold it: none of their words are passed on, only what kind of failure it was.
"""

import asyncio
import inspect
import logging
import re
import smtplib
import threading
import time
from typing import Any, Literal

import httpx
from prefect.blocks import notifications  # Prefect finds a block's class only once it is imported
from prefect.blocks.abstract import NotificationBlock, NotificationError
from prefect.blocks.core import Block, UnknownBlockType
from prefect.context import SettingsContext, get_settings_context
from prefect.exceptions import ObjectNotFound

from infra.digest import Record
from infra.smtp_email import SmtpEmail

Kind = Literal[
    "approval requested", "auto-approved", "promoted", "rejected", "rolled back", "needs re-judgement", "incident"
]

SECONDS = 15.0
# of this project's own, beside Prefect's
BLOCKS: tuple[type[NotificationBlock], ...] = (SmtpEmail,)
_NAME = re.compile(r"[a-z0-9-]+/[a-z0-9-]+")
_THREAD = "nightshift-notify"
# libraries under the blocks that write an address into their log
_TALKATIVE = ("apprise", "httpx", "httpcore.connection", "httpcore.http11", "urllib3.connectionpool")

log = logging.getLogger("nightshift.notify")


class Message(Record):
    """What people are told. ``url``: the page to look at."""

    kind: Kind
    subject: str
    text: str
    url: str = ""

    @property
    def body(self) -> str:
        return f"{self.text}\n\n{self.url}" if self.url else self.text


def tell(blocks: tuple[str, ...], message: Message, seconds: float = SECONDS) -> list[str]:
    """Send a message through saved blocks, ``type-slug/name`` each, all at the same time.

    Args:
        seconds: after which a block is waited for no longer. It may still get through.

    Returns:
        one sentence for each block that nobody was told through, without its address; they are logged as warnings too.
    """
    _keep_addresses_out_of_logs()
    end = time.monotonic() + seconds
    sending = [_Sending(name, message) for name in blocks]
    problems = []
    for one in sending:
        why = one.outcome(end, seconds)
        if why is not None:
            problems.append(f"nobody was told of {message.kind!r} through {one.name}: {why}")
            log.warning(problems[-1])
    return problems


class _Sending:
    """One block at work in a daemon thread: one that hangs holds up neither us nor the end of this process."""

    def __init__(self, name: str, message: Message) -> None:
        self.name = name if _NAME.fullmatch(name) else "a block whose name isn't TYPE/NAME"
        self._said: list[str | None] = []
        # a new thread knows nothing of settings that hold for a while only (whose API?), nor of a running flow
        settings = get_settings_context()
        work = threading.Thread(target=self._work, args=(name, message, settings), name=_THREAD, daemon=True)
        self._thread = work
        work.start()

    def _work(self, name: str, message: Message, settings: SettingsContext) -> None:
        try:
            with SettingsContext(profile=settings.profile, settings=settings.settings):
                _send(name, message)
            self._said.append(None)
        except Exception as error:  # noqa: BLE001  a block may be anybody's code; none of it may fail a promotion
            self._said.append(why(error))

    def outcome(self, end: float, seconds: float) -> str | None:
        self._thread.join(max(0.0, end - time.monotonic()))
        if self._said:
            return self._said[0]
        return f"no answer within {seconds:g} s" if self._thread.is_alive() else "the block ended without a word"


class NotOurs(Exception):
    """Why a block can't be used; the words are ours and hold nothing of its own."""


def _send(name: str, message: Message) -> None:
    if not _NAME.fullmatch(name):
        raise NotOurs("write it like slack-webhook/on-call")
    block: Any = Block.load(name)
    if not isinstance(block, NotificationBlock):
        raise NotOurs("it is no notification block")
    # without this, Prefect's blocks keep a failure to themselves
    with block.raise_on_failure():
        sent = block.notify(message.body, message.subject)
        if inspect.isawaitable(sent):
            asyncio.run(_awaited(sent))


async def _awaited(sent: Any) -> None:
    await sent


def why(error: Exception) -> str:
    """What kind of failure it was, in our words: an address may stand in the error's own."""
    match error:
        case NotOurs():
            return str(error)
        case UnknownBlockType():
            return "Prefect knows no such type of block here"
        case ValueError(__cause__=ObjectNotFound()):
            return "no block of that name is saved in Prefect"
        case NotificationError():
            code = re.search(r"\berror=(\d{3})\b", str(error.log))
            return f"the service answered {code[1]}" if code else "it can't be reached, or its address isn't one"
        case httpx.HTTPStatusError():
            return f"the service answered {error.response.status_code}"
        case httpx.TimeoutException() | TimeoutError():
            return "no answer in time"
        case httpx.TransportError() | httpx.InvalidURL():
            return f"it can't be reached ({type(error).__name__})"
        case smtplib.SMTPResponseException():
            return f"the mail server answered {error.smtp_code}"
        case smtplib.SMTPRecipientsRefused():
            return f"the mail server refused {len(error.recipients)} recipient(s)"
        case smtplib.SMTPException():
            return f"the mail server can't be used ({type(error).__name__})"
        case OSError():
            return f"it can't be reached ({type(error).__name__})"
        case _:
            return f"the block is set up wrongly, or fails by itself ({type(error).__name__})"


def _keep_addresses_out_of_logs() -> None:
    for name in _TALKATIVE:
        logger = logging.getLogger(name)
        if _without_address not in logger.filters:
            logger.addFilter(_without_address)


def _without_address(record: logging.LogRecord) -> bool:
    """Drop what is logged in our threads; of apprise keep the answer's code, as Prefect's block reads it from there."""
    if record.threadName != _THREAD:
        return True
    code = re.search(r"\berror=\d{3}\b", record.getMessage())
    record.msg, record.args, record.exc_info = f"a notification failed: {code[0] if code else 'no answer'}", (), None
    return record.name == "apprise"


__all__ = ["BLOCKS", "SECONDS", "Kind", "Message", "notifications", "tell", "why"]
