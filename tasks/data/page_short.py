"""The data's report in short, as Markdown: for a Prefect artifact that leads to the whole."""

from pathlib import Path

from infra.number_words import count
from infra.pages import plain_markdown
from tasks.contracts import Preferences


def data_markdown(preferences: Preferences, run: str, page: Path) -> str:
    """How many rows passed, were held out and left, the warnings, and where the report is.

    Args:
        run: the night's MLflow run, as a URL: a night that reached a verdict has the report among its artifacts.
        page: the report beside the night.
    """
    lines = [
        "| rows to train on | rows held out | of them in the house suite | rows in quarantine |",
        "|---|---|---|---|",
        f"| {count(preferences.n_train)} | {count(preferences.n_held_out)} | {count(preferences.n_house)} "
        f"| {count(preferences.n_quarantined)} |",
        "",
        *(f"- {plain_markdown(one)}" for one in preferences.warnings),
    ]
    lines += [] if preferences.warnings else ["No expectation warned."]
    lines += ["", f"The whole report: `data/report.html` among the artifacts of [the night's run]({run})"]
    lines[-1] += f", and {plain_markdown(str(page))} beside the night."
    return "\n".join(lines) + "\n"
