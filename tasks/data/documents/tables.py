"""A table as lines that can be read aloud: the first cell names the row, the header the others."""

from collections.abc import Sequence


def table_lines(rows: Sequence[Sequence[str]], *, header: bool) -> list[str]:
    """A line a row: ``Standard: Price 4.90 EUR, Time 3 days``; of two columns, or without a header, the bare cells."""
    rows = [[" ".join(cell.split()) for cell in row] for row in rows]
    rows = [row for row in rows if any(row)]
    names = rows[0] if header and rows else []
    lines = []
    for row in rows[1:] if header else rows:
        cells = [
            f"{names[place]} {cell}" if len(row) > 2 and place < len(names) and names[place] else cell
            for place, cell in enumerate(row[1:], 1)
            if cell
        ]
        lines.append(f"- {row[0]}: {', '.join(cells)}" if row[0] and cells else f"- {row[0] or ', '.join(cells)}")
    return lines
