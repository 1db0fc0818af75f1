"""Phases that follow each other: what makes a chain sound, and which of them make a candidate. Pure."""

from collections.abc import Sequence, Set

from tasks.phases import METHODS, Phase


def makes_candidate(phase: Phase) -> bool:
    """Whether its result is judged; a reward model is not."""
    return METHODS[phase.method].makes == "candidate"


def adds_up(phase: Phase) -> bool:
    """Whether its result is an adapter that is added to those below it."""
    return makes_candidate(phase) and phase.adapter != "full"


def chain_problems(phases: Sequence[Phase], topics: Set[str]) -> list[str]:
    """What keeps the phases from following each other, a sentence each.

    Args:
        topics: of the recipe's sources.
    """
    found: list[str] = []
    if not any(makes_candidate(phase) for phase in phases):
        found.append(f"no phase makes a candidate, {phases[-1].method!r} is the last: add one that trains the model")
    for number, phase in enumerate(phases, start=1):
        if phase.on is not None and phase.on not in topics:
            known = f"only {', '.join(sorted(topics))}" if topics else "and no source has one"
            found.append(f"phase {number} trains on {phase.on!r}, which is no source's topic, {known}")
        if phase.needs_model and all(makes_candidate(before) for before in phases[: number - 1]):
            found.append(f"phase {number} learns from a reward model, and no phase before it trains one")
    return found + _unstackable(phases)


def _unstackable(phases: Sequence[Phase]) -> list[str]:
    """Adapters add up to one where each is a sum's term. DoRA's also scales the weights below it: it is none."""
    on_top: list[tuple[int, Phase]] = []  # adapters since the last phase that trained the whole model
    for number, phase in enumerate(phases, start=1):
        if not makes_candidate(phase):
            continue
        on_top = [] if phase.adapter == "full" else [*on_top, (number, phase)]
        dora = next((at for at, one in on_top if one.adapter == "dora"), None)
        if dora is not None and len(on_top) > 1:
            return [
                f'the adapter of phase {dora} is "dora", which adds up to one adapter with no other: take "lora", '
                '"rslora" or "qlora", or "full"'
            ]
    return []


__all__ = ["adds_up", "chain_problems", "makes_candidate"]
