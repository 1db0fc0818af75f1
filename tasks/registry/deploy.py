"""deploy: point every target of a name to the promoted version, probe what serves, and point back where it isn't that.

All or none: when one target can't serve the version, those that do already are pointed back too, so that the registry
can name one version that serves. Before anything is moved, every target is checked. Nothing is kept between runs: what
a target points to is asked of the target, so that a run after a crash ends as one without.
"""

import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Literal, NamedTuple

from infra.digest import Record
from infra.errors import NightshiftError
from infra.targets.base import Pointer, Target
from tasks.probes import ProbeSet
from tasks.registry.probe import Probed, ask_until

State = Literal["serving", "unchanged", "rolled back", "failed"]


class Outcome(Record):
    """How it ended for one target.

    Attributes:
        state: ``serving``: the new version. ``unchanged``: it was not moved. ``rolled back``: moved, and again serves
            what it did. ``failed``: a person must look, it may serve anything.
        why: in one or several sentences; empty for ``serving``.
        notes: what a person should know though nothing is wrong, e.g. that nothing could be probed.
        version: what it points to now, where that is known.
    """

    target: str
    state: State
    why: str = ""
    notes: tuple[str, ...] = ()
    version: int | None
    seconds: float


class Deployed(Record):
    """What came of a deployment."""

    pointer: Pointer
    outcomes: tuple[Outcome, ...]

    @property
    def serving(self) -> bool:
        """Every target serves the new version: the alias may stay."""
        return all(one.state == "serving" for one in self.outcomes)

    @property
    def undone(self) -> bool:
        """No target serves the new version: the alias must go back, and nothing else is left to do."""
        return bool(self.outcomes) and all(one.state in ("unchanged", "rolled back") for one in self.outcomes)

    @property
    def broken(self) -> tuple[Outcome, ...]:
        """Targets that a person must look at now: the alias must go back, and they may not follow it."""
        return tuple(one for one in self.outcomes if one.state == "failed")

    def words(self) -> str:
        """One line a target."""
        return "\n".join(
            f"{one.target}: {one.state.upper() if one.state == 'failed' else one.state}"
            f"{f' ({one.why})' if one.why else ''}{''.join(f'; {note}' for note in one.notes)}"
            for one in self.outcomes
        )


class Moved(NamedTuple):
    """What is known of a target while it is deployed to. ``found``: what it pointed to before this run."""

    found: Pointer | None
    moved: bool = False
    why: str = ""
    notes: tuple[str, ...] = ()
    seconds: float = 0.0


# --- pure: what follows from what ---


def way_back(found: Pointer | None, to: Pointer, before: Pointer | None) -> Pointer | None:
    """What a target is pointed back to: what it pointed to; where that is unknown, or already the new version after a
    crash, what served by the registry. None: there is nothing to go back to."""
    if found is not None and not found.same(to):
        return found
    return before if before is not None and not before.same(to) else None


def state_of(*, moved: bool, why: str, others: str, back: str | None) -> tuple[State, str]:
    """A target's state and the reason.

    Args:
        moved: it was, or may have been, pointed to the new version.
        why: what is wrong with this target; empty: it serves the new version.
        others: what is wrong with other targets; empty: nothing.
        back: what is wrong with the way back; empty: it went well; None: it wasn't gone.
    """
    reason = why or others
    if not reason:
        return ("serving", "") if moved else ("failed", "it was not pointed, and nothing says why")
    if not moved:
        return "unchanged", reason
    if back is None:
        return "failed", f"{reason}; it was not pointed back"
    if back:
        return "failed", f"{reason}; and it can't be pointed back: {back}"
    return "rolled back", reason


def may_have_moved(target_knows: bool, found: Pointer | None, now: Pointer | None) -> bool:
    """Whether a target that failed to be pointed must be pointed back; one that can't tell must."""
    if not target_knows:
        return True
    return now is not None and not now.same(found)


def notes_of(found: Probed, asked: bool) -> tuple[str, ...]:
    """What a probe without problems leaves open."""
    if found.told_apart:
        return () if asked else ("its answers weren't probed: the version has no probe set",)
    if asked:
        return ("the probe can't tell it from what served before: their answers are equal",)
    return ("not probed: the version has no probe set, and the server doesn't say which version it serves",)


# --- thin: point, probe, point back ---


def deploy(
    pointer: Pointer,
    targets: Mapping[str, Target],
    probe: ProbeSet | None,
    before: Pointer | None = None,
    before_probe: ProbeSet | None = None,
    on_log: Callable[[str], None] = lambda line: None,
) -> Deployed:
    """Point all targets to ``pointer``, or none. Safe to run twice, and after a crash at any point.

    Args:
        targets: by their names in the recipe.
        probe: what the gated artefact answers; None: nothing is probed, and the outcome says so.
        before: what served by the registry before this move, for targets that can't tell or were moved before a crash.
        before_probe: what that model answers, so that the way back is probed too.
        on_log: called with a line for people.
    """
    blocked = _check_all(targets)
    states: dict[str, Moved] = {}
    for name, target in targets.items():
        if blocked or any(one.why for one in states.values()):
            states[name] = Moved(None, why=blocked.get(name, ""))
            continue
        on_log(f"{name}: pointing to {pointer.words}")
        states[name] = _move(target, pointer, probe)
    failed = {name: one.why for name, one in states.items() if one.why}
    outcomes = []
    for name, target in targets.items():
        others = "; ".join(f"{other} failed, and all targets serve one version" for other in failed if other != name)
        outcomes.append(_settle(name, target, states[name], pointer, others, before, (before_probe, probe), on_log))
    return Deployed(pointer=pointer, outcomes=tuple(outcomes))


def _check_all(targets: Mapping[str, Target]) -> dict[str, str]:
    """Targets that can't be pointed, with the reasons. Nothing is moved before all of them were asked."""
    found = {}
    for name, target in targets.items():
        problems = [problem for problem in _asked(target.check) if problem]
        if problems:
            found[name] = "; ".join(problems)
    return found


def _asked(check: Callable[[], list[str]]) -> list[str]:
    try:
        return check()
    except NightshiftError as error:
        return [error.what]


def _move(target: Target, to: Pointer, probe: ProbeSet | None) -> Moved:
    begun = time.monotonic()
    found = None
    try:
        found = target.points_to()
        target.point(to)
    except NightshiftError as error:
        return Moved(found, _moved_anyway(target, found), error.what, (), time.monotonic() - begun)
    probed, notes = _probe(target, to, probe)
    return Moved(found, True, "; ".join(probed), notes, time.monotonic() - begun)


def _moved_anyway(target: Target, found: Pointer | None) -> bool:
    try:
        return may_have_moved(target.knows(), found, target.points_to())
    except NightshiftError:
        return True  # it can't be asked: it may have been


def _probe(target: Target, to: Pointer, probe: ProbeSet | None) -> tuple[list[str], tuple[str, ...]]:
    """What is wrong with what the target serves, and what couldn't be found out."""
    try:
        endpoint = target.served()
        if endpoint is None:
            return [], ("not probed: the target has no endpoint",)
        found = ask_until(endpoint, to, probe, target.ready_seconds)
    except NightshiftError as error:
        return [error.what], ()
    return found.problems, () if found.problems else notes_of(found, probe is not None)


def _settle(
    name: str,
    target: Target,
    state: Moved,
    to: Pointer,
    others: str,
    before: Pointer | None,
    probes: tuple[ProbeSet | None, ...],
    on_log: Callable[[str], None],
) -> Outcome:
    """The target's outcome, after it was pointed back where that is due."""
    begun = time.monotonic()
    back, notes, version = None, state.notes, None
    if state.moved and (state.why or others):
        old = way_back(state.found, to, before)
        on_log(f"{name}: pointing back to {old.words if old else 'nothing'}: {state.why or others}")
        back, notes = _go_back(target, old, probes)
        version = old.version if old is not None and not back else None
    elif state.moved:
        version = to.version
    elif state.found is not None:
        version = state.found.version
    end, why = state_of(moved=state.moved, why=state.why, others=others, back=back)
    seconds = state.seconds + time.monotonic() - begun
    return Outcome(target=name, state=end, why=why, notes=notes, version=version, seconds=round(seconds, 3))


def _go_back(target: Target, old: Pointer | None, probes: tuple[ProbeSet | None, ...]) -> tuple[str, tuple[str, ...]]:
    """What is wrong with the way back, empty where it went well, and what couldn't be found out."""
    if old is None:
        return "it isn't known what it served before", ()
    # a move of its own, with its own time
    again = old.model_copy(update={"at": datetime.now(UTC).isoformat(timespec="milliseconds")})
    try:
        target.point(again)
        now = target.points_to()
    except NightshiftError as error:
        return error.what, ()
    if target.knows() and not again.same(now):
        return f"it points to {now.words if now else 'nothing'} after it was pointed to {again.words}", ()
    # the probe set of the model that it goes back to; a target may have served another version than the registry's
    fitting = next((one for one in probes if one is not None and one.model == old.model), None)
    problems, notes = _probe(target, again, fitting)
    return "; ".join(problems), notes
