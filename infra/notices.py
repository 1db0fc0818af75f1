"""The words people are told by: one function an event, facts in, a message out. Pure.

Reasons, names and paragraphs were written by others than the reader: ``plain`` takes out what a chat or a webhook
template would take for more than text.
"""

import re
from datetime import datetime

from infra.notify import Kind, Message

LONGEST = 1000  # characters of a text that somebody else wrote


def approval_requested(
    name: str, version: int, verdict: str, paragraph: str, expires: datetime | None, url: str
) -> Message:
    """A version awaits a decision."""
    until = f"It can be approved until {moment(expires)}." if expires is not None else ""
    text = _lines(f"{plain(name)} version {version} is {plain(verdict)} and awaits approval.", plain(paragraph), until)
    return _message("approval requested", f"{name} version {version} awaits approval: {verdict}", text, url)


def auto_approved(name: str, version: int, rule: str, url: str) -> Message:
    """The policy approved a version without a person."""
    text = f"{plain(name)} version {version} was approved by the policy, without a person: {plain(rule)}."
    return _message("auto-approved", f"{name} version {version} was approved by the policy", text, url)


def promoted(name: str, version: int, previous: int | None, by: str, waiver: str, url: str) -> Message:
    """A version serves."""
    was = f"Version {previous} is previous; `nightshift rollback --name {plain(name)}` makes it serve again."
    waived = f"Waived by {plain(by)}: {plain(waiver)}" if waiver.strip() else ""
    text = _lines(
        f"{plain(name)} version {version} serves, approved by {plain(by)}.", waived, was if previous is not None else ""
    )
    return _message("promoted", f"{name} version {version} is champion", text, url)


def rejected(name: str, version: int, by: str, reason: str, url: str) -> Message:
    """A person decided against a version."""
    text = f"{plain(name)} version {version} was rejected by {plain(by)}: {plain(reason)}"
    return _message("rejected", f"{name} version {version} was rejected", text, url)


def rolled_back(name: str, version: int, was: int | None, by: str, reason: str, url: str) -> Message:
    """An earlier version serves again."""
    text = _lines(
        f"{plain(name)} version {version} serves again; {plain(by)} rolled back "
        f"{f'version {was}' if was is not None else 'what served'}.",
        f"Reason: {plain(reason)}" if reason.strip() else "",
    )
    return _message("rolled back", f"{name} version {version} is champion again", text, url)


def needs_rejudgement(name: str, version: int, judged_against: int | None, champion: int | None, url: str) -> Message:
    """An approved version was judged against another champion than serves now."""
    against = f"version {judged_against}" if judged_against is not None else "another champion"
    now = f"version {champion} serves" if champion is not None else "no version serves"
    text = (
        f"{plain(name)} version {version} is approved, but was judged against {against}, and {now} now. "
        "It was not promoted: judge it again."
    )
    return _message("needs re-judgement", f"{name} version {version} must be judged again", text, url)


def incident(name: str, what: str, held: int | None, url: str) -> Message:
    """Registry, ledger and manifest don't agree, or what serves isn't what was judged."""
    kept = f"Serving is held at version {held}. " if held is not None else ""
    text = f"{plain(name)}: {plain(what)}\n{kept}Nothing was repaired by itself: `nightshift audit` says what to do."
    return _message("incident", f"{name}: an incident needs you", text, url)


def plain(text: str) -> str:
    """Somebody else's words as plain text of bounded length.

    Angle brackets make links and calls for everybody in Slack; two braces are a placeholder of Prefect's webhook block,
    whose secrets they could name.
    """
    seen = "".join(letter if letter.isprintable() or letter == "\n" else " " for letter in text)
    seen = re.sub(r"([{}])(?=\1)", r"\1 ", seen.replace("<", "‹").replace(">", "›"))
    return seen if len(seen) <= LONGEST else seen[: LONGEST - 1] + "…"


def moment(at: datetime) -> str:
    """A time with its zone, to the minute."""
    return f"{at:%Y-%m-%d %H:%M %Z}".strip()


def _lines(*lines: str) -> str:
    return "\n".join(line for line in lines if line)


def _message(kind: Kind, subject: str, text: str, url: str) -> Message:
    return Message(kind=kind, subject=" ".join(plain(subject).split())[:200], text=text, url=url)
