"""Several candidates of one night: how they share α, which of them is the night's, and what is told of each. Pure."""

from collections.abc import Mapping, Sequence

from infra.digest import Digest
from infra.number_words import signed
from tasks.contracts import PhaseVerdict, Trained, Verdict, VerdictName
from tasks.recipe import GateSpec

_RANK: dict[VerdictName, int] = {"PASS": 3, "INCONCLUSIVE": 2, "FAIL": 1, "BLOCK": 0}


def shared(gate: GateSpec, together: int) -> GateSpec:
    """The gate of one of so many candidates of a night, of which one is chosen: each has its share of α (Bonferroni).

    So all bounds hold together, also that of the one that is chosen by them (docs/design/phases.md). The anchor's α is
    not shared: each candidate is a decision of its own, and spends one.
    """
    return gate if together == 1 else gate.model_copy(update={"alpha": gate.alpha / together})


def best(verdicts: Sequence[Verdict]) -> int:
    """The place of the verdict that is the night's: of those that pass, the one whose target is surest to be better.

    Where none passes, of those nearest to it: INCONCLUSIVE before FAIL before BLOCK, and one that a waiver may promote
    before one that none may. Of equal ones the earlier: it was cheaper.
    """
    return max(range(len(verdicts)), key=lambda place: (*_merit(verdicts[place]), -place))


def _merit(verdict: Verdict) -> tuple[int, bool, float]:
    lower = _target(verdict)[1]
    return _RANK[verdict.verdict], verdict.waivable, float("-inf") if lower is None else lower


def _target(verdict: Verdict) -> tuple[float | None, float | None]:
    """Delta and lower bound of the target suite; None where it was not judged."""
    return next(((one.delta, one.lower) for one in verdict.suites if one.target), (None, None))


def together(verdicts: Sequence[Verdict], trained: Trained, methods: Mapping[int, str]) -> Verdict:
    """The night's verdict: the best phase's, with a line for each phase; of a night with one phase its own.

    Args:
        verdicts: of the candidates, in their order.
        methods: of the recipe's phases, by number.
    """
    chosen = best(verdicts)
    if len(methods) == 1:
        return verdicts[chosen]
    lines = [
        _line(one, candidate.phase, methods[candidate.phase], chosen=place == chosen)
        for place, (one, candidate) in enumerate(zip(verdicts, trained.candidates, strict=True))
    ]
    lines += [PhaseVerdict(number=one.number, method=one.method, told=one.why) for one in trained.ended]
    lines.sort(key=lambda one: one.number)
    verdict = verdicts[chosen]
    return verdict.model_copy(
        update={"phases": tuple(lines), "paragraph": f"{verdict.paragraph} {_told(lines, len(methods))}"}
    )


def phase_tags(verdict: Verdict, candidate: Digest) -> dict[str, str]:
    """What a phase's own run is marked with; nothing where the night has one phase, whose run is the night's."""
    line = next((one for one in verdict.phases if one.candidate == candidate), None)
    if line is None:
        return {}
    return {"nightshift.verdict": line.verdict or "", "nightshift.chosen": str(line.chosen).lower()}


def _line(verdict: Verdict, number: int, method: str, *, chosen: bool) -> PhaseVerdict:
    delta, lower = _target(verdict)
    return PhaseVerdict(
        number=number,
        method=method,
        candidate=verdict.candidate,
        verdict=verdict.verdict,
        delta=delta,
        lower=lower,
        decision=verdict.decision,
        chosen=chosen,
        told=verdict.paragraph,
    )


def _told(lines: Sequence[PhaseVerdict], phases: int) -> str:
    """Which phase it is of, and what became of the others."""
    chosen = next(one for one in lines if one.chosen)
    others = [f"phase {one.number} ({one.method}): {_word(one)}" for one in lines if not one.chosen]
    rest = f" {_upper('; '.join(others))}." if others else ""
    return f"This is phase {chosen.number} of {phases} ({chosen.method}).{rest}"


def _word(one: PhaseVerdict) -> str:
    if one.verdict is None:
        return f"no candidate, {one.told.partition(' -> ')[0]}"
    return one.verdict if one.lower is None else f"{one.verdict}, target's lower bound {signed(one.lower, 3)}"


def _upper(text: str) -> str:
    return text[:1].upper() + text[1:]


__all__ = ["best", "phase_tags", "shared", "together"]
