"""An audit's and a drill's outcome, for people: in a terminal, and as a page in Prefect."""

from collections.abc import Sequence
from typing import Any

from tasks.registry.auditing import Report
from tasks.registry.findings import Finding


def in_words(report: Report) -> str:
    """A paragraph a finding, and one line at the end that says how it stands."""
    parts = [
        f"{_label(one, report)}  {one.kind}  {one.name or 'all models'}  incident {one.id}\n  {one.what}\n  -> {one.do}"
        if one.severity == "critical"
        else f"warning  {one.kind}  {one.name or 'all models'}\n  {one.what}\n  -> {one.do}"
        for one in report.findings
    ]
    parts += [f"serving of {name} is held: {why}" for name, why in report.held.items()]
    if report.waiting:
        parts.append(f"no longer so, and still open: incident {', '.join(report.waiting)}")
    return "\n\n".join([*parts, headline(report)])


def headline(report: Report) -> str:
    """One line."""
    versions, lines = _count(report.versions, "version"), _count(report.lines, "line")
    looked = f"{_count(report.models, 'model')}, {versions} and {lines} compared"
    if not report.findings:
        return f"no difference: {looked}"
    warnings = sum(one.severity == "warning" for one in report.findings)
    counts = [f"{len(report.critical)} critical", f"{warnings} warning{'' if warnings == 1 else 's'}"]
    counts += [f"{len(report.accepted)} accepted"] if report.accepted else []
    return f"{', '.join(counts)}: {looked}"


def as_markdown(report: Report) -> str:
    """The page of an audit's run."""
    lines = [f"**{headline(report)[:1].upper()}{headline(report)[1:]}.**", ""]
    if report.held:
        held = [f"- **{name}**: {_plain(why)}" for name, why in report.held.items()]
        lines += ["## Serving is held", "", *held, ""]
    for title, findings in (
        ("Incidents", report.critical),
        ("Warnings", [one for one in report.findings if one.severity == "warning"]),
        ("Accepted by a person, and still so", [one for one in report.findings if one.id in report.accepted]),
    ):
        if findings:
            lines += [f"## {title}", "", "| what | model | next | incident |", "|---|---|---|---|"]
            lines += [f"| {_plain(one.what)} | {one.name} | {_plain(one.do)} | {_id(one)} |" for one in findings]
            lines.append("")
    if report.critical:
        lines.append("`nightshift audit --close INCIDENT --reason '...'` closes one, with your name.")
    return "\n".join(lines)


def summary(report: Report) -> dict[str, Any]:
    """One JSON object: the report, each finding with its id."""
    findings = [{**one.model_dump(mode="json"), "id": one.id} for one in report.findings]
    return {**report.model_dump(mode="json"), "findings": findings, "critical": len(report.critical)}


def drills_markdown(drills: Sequence[dict[str, Any]]) -> str:
    """The last drills, newest first."""
    rows = [
        f"| {one['at'][:16].replace('T', ' ')} | {one['name']} | {one['champion']} → {one['previous']} "
        f"| {one['seconds']:.2f} s | {_plain(one['problem'] or 'went well')} |"
        for one in reversed(drills)
    ]
    return "\n".join(["| when (UTC) | model | versions | rollback took | outcome |", "|---|---|---|---|---|", *rows])


def _label(one: Finding, report: Report) -> str:
    return "accepted" if one.id in report.accepted else "CRITICAL"


def _id(one: Finding) -> str:
    return f"`{one.id}`" if one.severity == "critical" else ""


def _plain(text: str) -> str:
    """In a table's cell nothing of a value may be read as a table or a page."""
    for mark in "\\`*_[]<>|":
        text = text.replace(mark, f"\\{mark}")
    return " ".join(text.split())


def _count(number: int, what: str) -> str:
    return f"{number} {what}{'' if number == 1 else 's'}"
