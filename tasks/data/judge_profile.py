"""Judge the profile with Great Expectations and render Data Docs.

An expectation that raised is not an expectation that failed: GX marks both ``success: false``, only
``exception_info`` tells them apart, and an errored check stops the night whatever its severity.
"""

import importlib
import logging
import math
import sys
from pathlib import Path
from typing import Any

from expectations.data.pairs import pairs_suite
from infra.digest import Record
from tasks.errors import DataBreach


class Finding(Record):
    """One expectation's outcome."""

    figure: str
    severity: str
    success: bool
    observed: float | None
    expected: str
    why: str
    error: str | None


def imported() -> None:
    """Import Great Expectations: some seconds, which a process of its own takes while the checks run."""
    main = sys.modules["__main__"]
    if not hasattr(main, "__file__"):
        # Great Expectations imports pyspark where it is installed, and pyspark 4.3 takes a process whose main module
        # has neither file nor spec (a spawned one) for its own doctests, and ends it
        main.__file__ = __file__
    importlib.import_module("great_expectations")
    importlib.import_module("great_expectations.checkpoint.actions")


def judge_profile(profile: dict[str, Any], max_quarantined: float, docs: Path) -> list[Finding]:
    """Validate the one-row profile and render Data Docs into ``docs``.

    Raises:
        DataBreach: a figure is missing, or Great Expectations itself could not run the suite.
    """
    # to Great Expectations a missing value is nothing to object to
    if missing := sorted(name for name, value in profile.items() if value is None or not math.isfinite(value)):
        raise DataBreach(
            f"the profile has no figure for {', '.join(missing)}", do="look at the snapshot and tasks/data/checks.py"
        )
    imported()
    import great_expectations as gx
    import pandas as pd
    from great_expectations.checkpoint.actions import UpdateDataDocsAction

    logging.getLogger("great_expectations").setLevel(logging.ERROR)
    context = gx.get_context(mode="file", project_root_dir=docs)
    context.variables.progress_bars = {"globally": False}  # pyright: ignore[reportAttributeAccessIssue]
    suite = context.suites.add(pairs_suite(max_quarantined=max_quarantined))
    asset = context.data_sources.add_pandas("profile").add_dataframe_asset("profile")
    batch = asset.add_batch_definition_whole_dataframe("whole")
    validation = context.validation_definitions.add(gx.ValidationDefinition(name="night", data=batch, suite=suite))
    checkpoint = context.checkpoints.add(
        gx.Checkpoint(name="night", validation_definitions=[validation], actions=[UpdateDataDocsAction(name="docs")])
    )
    result = checkpoint.run(
        batch_parameters={"dataframe": pd.DataFrame([profile])}, run_id=gx.RunIdentifier(run_name="night")
    )
    runs = list(result.run_results.values())
    if len(runs) != 1 or not runs[0].results:
        raise DataBreach("Great Expectations ran no expectation", do="check expectations/data/pairs.py")
    return [_finding(one) for one in runs[0].results]


def stop_on_breach(findings: list[Finding]) -> list[str]:
    """The warnings as sentences; a critical breach or an errored expectation raises.

    Raises:
        DataBreach: names every figure that breached, its value and its bound.
    """
    errored = [f"{finding.figure}: {finding.error}" for finding in findings if finding.error]
    if errored:
        raise DataBreach(
            "expectations could not be computed: " + "; ".join(errored),
            do="mend the expectation or the profile; an errored check never passes",
        )
    broken = [_sentence(finding) for finding in findings if not finding.success and finding.severity == "critical"]
    if broken:
        raise DataBreach(
            "the data breaches critical expectations: " + "; ".join(broken),
            do="look at the quarantine and Data Docs of this night, mend the source",
        )
    return [_sentence(finding) for finding in findings if not finding.success and finding.severity == "warning"]


def site_folder(docs: Path) -> Path:
    """Where GX put the rendered site."""
    return docs / "gx" / "uncommitted" / "data_docs" / "local_site"


def _finding(result: Any) -> Finding:
    config = result.expectation_config
    bounds = [
        f"{sign} {config.kwargs[key]}"
        for key, sign in (("min_value", ">="), ("max_value", "<="))
        if config.kwargs.get(key) is not None
    ]
    info = result.exception_info or {}
    details = [info] if "raised_exception" in info else list(info.values())
    error = next((str(detail.get("exception_message")) for detail in details if detail.get("raised_exception")), None)
    outcome = result.result or {}
    observed = outcome.get("observed_value")
    return Finding(
        figure=config.kwargs["column"],
        severity=str(getattr(config.severity, "value", config.severity)),
        success=bool(result.success),
        observed=None if observed is None else float(observed),
        expected=" and ".join(bounds),
        why=str(config.notes or ""),
        error=error,
    )


def _sentence(finding: Finding) -> str:
    return (
        f"{finding.figure} is {finding.observed:.4g}, expected {finding.expected} ({finding.why})"
        if finding.observed is not None
        else f"{finding.figure} isn't {finding.expected} ({finding.why})"
    )
