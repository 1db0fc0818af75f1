"""The models that grade answers: opened from the settings, and calibrated against labels before they grade anything."""

from collections.abc import Callable, Mapping
from pathlib import Path

from infra.errors import NightshiftError
from tasks.gate.judge_calibration import Labelled, calibrate, why_not_calibrated
from tasks.gate.judge_model import JudgeModel, with_checks
from tasks.gate.suites import Item, Suite

Grade = Callable[[Item, str], float]


def graders(
    suites: Mapping[str, Suite], url: str | None, model: str | None, key: str, cache: Path
) -> tuple[dict[str, Grade], list[str]]:
    """A grader by scorer digest for each suite that needs one, and why a suite has none: the gate blocks on that."""
    found: dict[str, Grade] = {}
    problems: list[str] = []
    for name, suite in suites.items():
        if suite.scorer.kind == "reward":
            problems.append(f"{name}: no reward model is trained in this release; judge it otherwise")
        if suite.scorer.kind != "judge":
            continue
        if not url or not model:
            problems.append(f"{name}: no judge model is set: NIGHTSHIFT_JUDGE_URL and NIGHTSHIFT_JUDGE_MODEL")
            continue
        judge = JudgeModel(url, model, suite.scorer.rubric, cache, key=key)
        try:
            reason = why_not(judge, suite)
        except NightshiftError as error:
            reason = error.what
        if reason is not None:
            problems.append(f"{name}: the judge model {model} can't be trusted: {reason}")
            continue
        checked = any(item.checks for item in suite.items)
        found[suite.scorer.digest] = with_checks(judge.grade) if checked else judge.grade
    return found, problems


def why_not(judge: JudgeModel, suite: Suite) -> str | None:
    """Why a judge isn't calibrated for a suite, or None: its labelled pairs are asked in both orders."""
    if not suite.calibration:
        return "its suite has no labelled pairs: items of the split `twin` with two choices, the better one the answer"
    labelled = []
    for item in suite.calibration:
        first, second = item.choices
        labelled.append(Labelled("first" if item.answer == 0 else "second", judge.prefer(item, first, second)))
    return why_not_calibrated(calibrate(labelled))
