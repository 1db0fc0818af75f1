"""The data's report: one self-contained HTML page a night: what came in, what left and why. Pure: record in, text out.

As the gate's report it loads nothing and runs nothing. What customers wrote is masked first (``shown``), then escaped;
what no page may hold (control characters, half a surrogate pair) is written as what can be seen.
"""

from collections.abc import Callable, Sequence
from datetime import datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import Any

from infra import number_words
from infra.pages import page_template
from tasks.data import page_pictures, page_words
from tasks.data.drift import DriftFigure
from tasks.data.page_reasons import meaning
from tasks.data.page_records import SAMPLES, DataReport, Sample
from tasks.data.personal import mask
from tasks.data.style import BiasFigure

Shown = Callable[[str, int], str]

# characters of a text, and of a record's own id or a reason's cause
TEXT, BRIEF = 600, 120

_CONTROLS = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_UNSEEN = dict.fromkeys([*range(0x7F, 0xA0), *range(0xFDD0, 0xFDF0)], 0xFFFD)
_NEVER = dict.fromkeys([plane << 16 | end for plane in range(17) for end in (0xFFFE, 0xFFFF)], 0xFFFD)


def data_page(report: DataReport, shown: Shown = mask.shown) -> str:
    """The report as one HTML page.

    Args:
        shown: masks personal data in a text and cuts it to so many characters. Every text of a row goes through it;
            names of sources, suites and models don't.
    """
    state = page_words.night_state(report)
    page = _template().render(
        report=report,
        state=state,
        made=_moment(report.made),
        paragraph=_paragraph(report),
        breaches=[page_words.breach(one) for one in report.breaches],
        warnings=page_words.warnings(report),
        tiles=_tiles(report),
        parts=page_words.parts(report),
        flow=_safe(page_pictures.flow(page_words.parts(report), report.rows)),
        sources=_sources(report),
        compared=any(source.rows_before is not None for source in report.sources),
        reasons=_reasons(report, shown),
        n_samples=SAMPLES,
        expectations=_expectations(report),
        bias=[(title, _safe(panel)) for title, panel in page_pictures.bias(report.bias)],
        bias_rows=[_bias_row(one) for one in report.bias],
        drift=[(one, _safe(page_pictures.drift(one)), _drift_rows(one.figures)) for one in report.drift],
        agreement=_safe(page_pictures.agreement(report.agreement)) if report.agreement else "",
        reliability=page_words.reliability(report.agreement) if report.agreement else None,
        leaked=sorted(report.leaked_items, key=lambda one: (-one.rows, one.suite, one.item)),
        common=[(shown(one.text, TEXT), one.items, one.rows) for one in report.common],
    )
    return legible(page)


def legible(page: str) -> str:
    """Without what HTML or UTF-8 has no place for: controls as their pictures, the rest as replacement characters."""
    return page.encode("utf-8", "replace").decode("utf-8").translate(_CONTROLS | _UNSEEN | _NEVER)


@cache
def _template() -> Any:
    names = ("number", "size", "count")
    filters = {name: getattr(number_words, name) for name in names}
    filters |= {"percent": page_words.percent, "rows": page_words.rows_word, "coded": _coded}
    return page_template(Path(__file__).parent, "page.html", filters)


def _safe(html: str) -> Any:
    """Pictures: escaped where they are drawn (infra.drawing)."""
    from markupsafe import Markup

    return Markup(html)


def _coded(text: str) -> Any:
    """Escaped, with what stands between backticks as code; for our own sentences."""
    pieces = text.split("`")
    if len(pieces) % 2 == 0:  # a backtick without its other
        return text
    return _safe("".join(f"<code>{escape(one)}</code>" if i % 2 else escape(one) for i, one in enumerate(pieces)))


def _moment(iso: str) -> str:
    """``2026-11-26 02:00 +00:00``; as it is where it is no ISO moment."""
    try:
        at = datetime.fromisoformat(iso)
    except ValueError:
        return iso
    zone = f"{at:%z}"
    return f"{at:%Y-%m-%d %H:%M}" + (f" {zone[:3]}:{zone[3:5]}" if zone else "")


def _paragraph(report: DataReport) -> str:
    if not report.rows:
        return "No row came in."
    came = f"{page_words.rows_word(report.rows)} came in from {_sources_word(report)}; "
    left = f"{page_words.rows_word(report.quarantined)} ({page_words.percent(report.quarantined, report.rows)})"
    if not report.quarantined:
        return f"{came}none of them went to quarantine."
    most = max(report.reasons, key=lambda one: (one.rows, one.name), default=None)
    why = f", most often for {most.name} ({page_words.rows_word(most.rows)})" if most else ""
    return f"{came}{left} went to quarantine{why}."


def _sources_word(report: DataReport) -> str:
    some = sum(source.rows > 0 for source in report.sources)
    return f"{some} source{'' if some == 1 else 's'}"


def _tiles(report: DataReport) -> list[dict[str, str]]:
    rows, of = report.rows, page_words.percent
    new = sum(source.new_rows for source in report.sources)
    train, held, _, left = (part.rows for part in page_words.parts(report))
    house = sum(flow.house for flow in report.flows)
    drawn = report.trained
    note = f"{of(train, rows)} of all" if drawn is None else f"tonight {drawn.new:,} new, {drawn.replayed:,} replayed"
    return [
        {"label": "rows came in", "value": f"{rows:,}", "note": f"{new:,} of them new"},
        {"label": "rows passed", "value": f"{rows - left:,}", "note": f"{of(rows - left, rows)} of all"},
        {"label": "rows in quarantine", "value": f"{left:,}", "note": f"{of(left, rows)} of all"},
        {"label": "rows to train on", "value": f"{train:,}", "note": note},
        {"label": "rows held out", "value": f"{held:,}", "note": f"{house:,} of them in the house suite"},
    ]


def _sources(report: DataReport) -> list[dict[str, Any]]:
    total = sum(source.rows for source in report.sources)
    known = [source.rows_before for source in report.sources if source.rows_before is not None]
    found = []
    for source in sorted(report.sources, key=lambda one: (-one.rows, one.name)):
        now = source.rows / total if total else 0.0
        compared = source.rows_before is not None and sum(known) > 0
        before = (source.rows_before or 0) / sum(known) if compared else None
        found.append(
            {
                "source": source,
                "now": page_words.percent(source.rows, total),
                "before": page_words.percent(before) if before is not None else number_words.NONE,
                "bars": _safe(page_pictures.source_bars(source.name, now, before)),
            }
        )
    return found


def _reasons(report: DataReport, shown: Shown) -> list[dict[str, Any]]:
    """Reasons with rows, most rows first, each with its samples."""
    some = sorted((one for one in report.reasons if one.rows), key=lambda one: (-one.rows, one.name))
    most = max((one.rows for one in some), default=0)
    return [
        {
            "name": one.name,
            "rows": one.rows,
            "share": page_words.percent(one.rows, report.rows),
            "meaning": meaning(one.name),
            "bar": _safe(page_pictures.reason_bar(one.name, one.rows, most, report.rows)),
            "samples": [_sample(row, shown) for row in report.samples if row.reason == one.name][:SAMPLES],
        }
        for one in some
    ]


def _sample(row: Sample, shown: Shown) -> dict[str, Any]:
    """What is shown of a row. Its own id may be a person's address or number: it is masked as any text."""
    texts = [("prompt", row.prompt), ("chosen", row.chosen), ("rejected", row.rejected)]
    if row.raw and not any(text for _, text in texts):
        texts = [("record, as it came", row.raw)]
    return {
        "id": shown(row.id, BRIEF),
        "place": f"{row.source}, line {row.line}" if row.line else f"{row.source}, the object as a whole",
        "builder": row.builder,
        "because": shown(row.because, BRIEF) if row.because else "",
        "error": shown(row.error, TEXT) if row.error else "",
        "texts": [(name, shown(text, TEXT)) for name, text in texts],
    }


def _expectations(report: DataReport) -> list[dict[str, Any]]:
    """Breaches first: what could not be computed, critical ones, warnings; then the others in their order."""

    order = ("not computed", "stops", "warns", "fine")
    rows = [(page_words.outcome(one), one) for one in report.expectations]
    rows.sort(key=lambda row: order.index(row[0].word if row[1].error is not None else row[0].look))
    return [{"state": state, "one": one, "observed": page_words.figure(one.observed)} for state, one in rows]


def _bias_row(one: BiasFigure) -> dict[str, Any]:
    return {
        "name": page_words.BIAS_NAMES.get(one.name, (one.name, ""))[0],
        "value": page_words.bias_value(one, one.value),
        "range": page_words.bias_range(one),
        "neutral": page_words.bias_value(one, one.neutral),
        "n": one.n,
        "state": page_words.bias_state(one),
        "says": one.says,
    }


def _drift_rows(figures: Sequence[DriftFigure]) -> list[dict[str, Any]]:
    return [{"one": one, "state": page_words.LEVELS[one.level], "moved": _moved(one)} for one in figures]


def _moved(one: DriftFigure) -> str:
    """What moved most; of topics nothing, because a cluster's number tells nobody anything."""
    if one.name == "topic":
        return number_words.NONE
    of = page_words.percent
    return "; ".join(f"{name} {of(old)} → {of(new)}" for name, old, new in one.moved) or number_words.NONE
