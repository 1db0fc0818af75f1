"""The smoke probe: does the server answer as the gated artefact did? Pure rules, and a thin part that asks.

Exact equality would be too strict: two engines, two precisions, or one engine with another batch round sums otherwise,
and where two words are nearly as likely the answer takes another turn there and never comes back. So an answer counts
by how far it begins like the expected one, and the set by its mean; and where the night's other models answered
otherwise, the answer must begin more like the candidate's than like theirs. docs/design/smoke-probe.md has the figures
behind the limits.
"""

import re
import time
from collections.abc import Sequence
from typing import NamedTuple

from infra.digest import short
from infra.errors import TargetError
from infra.targets.ask import Answer, Asker, Endpoint, Listed
from infra.targets.base import Pointer
from tasks.probes import Probe, ProbeSet, leading, plain

LEVEL = 0.38  # the mean leading share: the gated artefact reaches it on any engine, a wrong template or model doesn't
NATS = 0.1  # mean distance of log-probabilities along answers that are equal
MAX_PAUSE = 15.0  # seconds between two rounds of questions, while a server loads
# in a served name, or in the folder that a server loaded: VERSION-DIGEST, the end of ``Pointer.served_name``
_MARK = re.compile(r"(?<![0-9a-z])(\d+)-([0-9a-f]{12})(?![0-9a-f])")


class Likeness(NamedTuple):
    """How one answer compares. ``leading``: the share of the longer text that both begin with, in [0, 1]. ``vote``: 1
    where it follows the expected answer past the point where another model's parts from it, -1 where it follows the
    other's, else 0. ``nats``: mean distance of log-probabilities, where the answer is equal and both have them."""

    leading: float
    vote: int
    nats: float | None
    empty: bool


class Probed(NamedTuple):
    """What a probe found: problems, and where none, how sure it can be.

    ``told_apart``: the answers, or what the server lists, tell the version from what served before.
    """

    problems: list[str]
    told_apart: bool


def compare(expected: ProbeSet, got: Sequence[Answer]) -> list[str]:
    """Why these answers aren't those of the gated artefact, one sentence a reason; empty where they may be.

    Args:
        got: to each probe, in their order.
    """
    if len(got) != len(expected.probes):
        return [f"{len(got)} answers came to {len(expected.probes)} probes"]
    found = [likeness(probe, answer) for probe, answer in zip(expected.probes, got, strict=True)]
    problems = []
    empty = sum(one.empty for one in found)
    if 2 * empty > len(found):
        problems.append(f"{empty} of {len(found)} answers are empty")
    mean = sum(one.leading for one in found) / len(found)
    if not mean >= LEVEL:
        problems.append(
            f"the answers begin like the gated model's for {mean:.0%} of their length, less than {LEVEL:.0%}: "
            f"{_example(expected.probes, got, found)}"
        )
    votes = [one.vote for one in found]
    right, wrong = votes.count(1), votes.count(-1)
    if wrong and wrong >= right:
        problems.append(
            f"{wrong} answers go on like another model's of that night, {right} like the gated model's: "
            "the version that served before, or the base model, still answers"
        )
    nats = [one.nats for one in found if one.nats is not None]
    if nats and not sum(nats) / len(nats) <= NATS:
        problems.append(
            f"where the answers are equal, their log-probabilities are {sum(nats) / len(nats):.2f} nats a token apart, "
            f"more than {NATS}: the weights are others, or damaged"
        )
    return problems


def likeness(probe: Probe, answer: Answer) -> Likeness:
    """How one answer compares with what is expected."""
    expected, text = plain(probe.answer), plain(answer.text)
    longer = max(len(expected), len(text))
    mine = leading(expected, text)
    others = [leading(plain(other), text) for other in probe.others if plain(other) != expected]
    nearest = max(others, default=mine)
    return Likeness(
        leading=1.0 if longer == 0 else mine / longer,
        vote=(mine > nearest) - (mine < nearest),
        nats=_nats(probe.logprobs, answer.logprobs) if expected == text else None,
        empty=bool(expected) and not text,
    )


def _nats(expected: Sequence[float], got: Sequence[float]) -> float | None:
    """Mean distance; a server may or may not count the token that ends the turn."""
    if not expected or not got or abs(len(expected) - len(got)) > 1:
        return None
    pairs = list(zip(expected, got, strict=False))
    return sum(abs(a - b) for a, b in pairs) / len(pairs)


def _example(probes: Sequence[Probe], got: Sequence[Answer], found: Sequence[Likeness]) -> str:
    worst = min(range(len(found)), key=lambda at: found[at].leading)
    asked, wanted = probes[worst].messages[-1].content, probes[worst].answer
    return f"to {_cut(asked)} it says {_cut(got[worst].text)} and not {_cut(wanted)}"


def _cut(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")


def marks(model: Listed) -> set[tuple[int, str]]:
    """Which versions a listed model says it is: by its name, and by the folder that it was loaded from."""
    return {(int(version), digest) for version, digest in _MARK.findall(f"{model.id} {model.root}")}


def mark_of(pointer: Pointer) -> tuple[int, str]:
    return pointer.version, short(pointer.model, 12)


def choose_model(listed: Sequence[Listed], fixed: str | None, pointer: Pointer) -> str:
    """The name to ask for: the fixed one, the one that says it is this version, or the only one there is.

    Raises:
        TargetError: it can't be told which.
    """
    if fixed is not None:
        return fixed
    ours = [one.id for one in listed if mark_of(pointer) in marks(one)]
    if ours:
        return ours[0]
    if len(listed) == 1:
        return listed[0].id
    raise TargetError(
        f"the server lists {len(listed)} models ({', '.join(one.id for one in listed[:5]) or 'none'}) and none of them "
        f"is {pointer.served_name}",
        do="set the target's served_model, or start the server with that served name",
    )


def wrong_model(listed: Sequence[Listed], asked: str, answered: Sequence[str], pointer: Pointer) -> list[str]:
    """Why what the server says of itself contradicts the pointer; empty where it agrees or says nothing.

    Args:
        answered: the model's name in each answer.
    """
    said = [Listed(one) for one in answered if one]
    found = {mark for one in [*(one for one in listed if one.id == asked), *said] for mark in marks(one)}
    others = sorted(found - {mark_of(pointer)})
    if not others:
        return []
    version, digest = others[0]
    return [f"the server says that it serves version {version} ({digest}), not {pointer.words}"]


def says_so(listed: Sequence[Listed], asked: str, pointer: Pointer) -> bool:
    """Whether the server itself says that it serves this version."""
    return any(one.id == asked and mark_of(pointer) in marks(one) for one in listed)


def ask(endpoint: Endpoint, pointer: Pointer, expected: ProbeSet | None) -> Probed:
    """Ask the served model the probe set once.

    Args:
        expected: None: only what the server lists is looked at.

    Raises:
        TargetError: it doesn't answer, or refuses.
    """
    if expected is not None and expected.model != pointer.model:
        return Probed([f"the probe set is of model {short(expected.model, 12)}, not of {pointer.words}"], False)
    with Asker(endpoint) as asker:
        listed = _listed(asker, endpoint.model)
        name = choose_model(listed, endpoint.model, pointer)
        wrong = wrong_model(listed, name, (), pointer)
        if wrong or expected is None:
            return Probed(wrong, says_so(listed, name, pointer))  # its answers couldn't excuse it
        got = [asker.answer(name, probe.conversation, probe.max_tokens) for probe in expected.probes]
    problems = wrong_model(listed, name, [one.model for one in got], pointer) + compare(expected, got)
    differs = any(probe.others for probe in expected.probes)
    return Probed(problems, differs or says_so(listed, name, pointer))


def _listed(asker: Asker, fixed: str | None) -> list[Listed]:
    """What the server lists; nothing where it can't, if the name to ask for is fixed: then its answers must do.

    `transformers serve` fails on its list where there is no cache of the hub.
    """
    try:
        return asker.models()
    except TargetError:
        if fixed is None:
            raise
        return []


def ask_until(endpoint: Endpoint, pointer: Pointer, expected: ProbeSet | None, seconds: float) -> Probed:
    """Ask until the answers are right or the time is up: a server needs a while to load what it was pointed to.

    A server that doesn't answer, and one that still answers as the version before, are asked again alike.
    """
    end, pause = time.monotonic() + seconds, 0.5
    while True:
        try:
            found = ask(endpoint, pointer, expected)
        except TargetError as error:
            found = Probed([error.what], False)
        if not found.problems or time.monotonic() >= end:
            return found
        time.sleep(min(pause, max(0.0, end - time.monotonic())))
        pause = min(2 * pause, MAX_PAUSE)
