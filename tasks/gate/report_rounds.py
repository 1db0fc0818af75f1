"""The report's rows of a night's hardening: every try, and what came of it. Pure."""

from collections.abc import Sequence
from typing import Any

from infra.number_words import count, number, signed
from tasks.contracts import Round, WeakTopic
from tasks.gate.report_rows import MARKS

_WHY = {"worse": "proven worse", "below": "below the champion", "low": "among its lowest"}


def round_row(one: Round) -> dict[str, Any]:
    """A try: what it was, what it trained on, its verdict and its suites."""
    return {
        "number": one.number,
        "what": what(one),
        "alpha": f"{one.alpha:.3g}",
        "verdict": one.verdict or "none",
        "mark": MARKS[one.verdict] if one.verdict else "–",
        "reason": one.reason,
        "topics": [topic_row(topic) for topic in one.topics],
        "suites": [
            {
                "name": suite.name,
                "candidate": number(suite.candidate),
                "delta": signed(suite.delta),
                "fresh": f"{count(suite.fresh)} of {count(suite.items)}",
                "verdict": suite.verdict,
                "mark": MARKS[suite.verdict],
            }
            for suite in one.suites
        ],
    }


def what(one: Round) -> str:
    """The try in a few words."""
    if one.kind == "soup":
        share = one.share or 0.0
        return f"averaged with the champion, {share:.0%} of it the candidate"
    return f"trained by {one.method} on {count(one.rows)} twins"


def topic_row(topic: WeakTopic) -> dict[str, str]:
    return {
        "name": f"{topic.suite}: {topic.topic}",
        "n": count(topic.n),
        "champion": number(topic.champion),
        "candidate": number(topic.candidate),
        "why": _WHY[topic.why],
    }


def in_short(rounds: Sequence[Round]) -> list[str]:
    """A line a try, for the report in short."""
    return [f"try {one.number}, {what(one)}: {one.verdict or 'no verdict'}" for one in rounds]
