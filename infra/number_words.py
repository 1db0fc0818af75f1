"""How pages write numbers: signs, limits, amounts, times; and how they shorten texts. Pure."""

NONE = "–"

# of a longer text the beginning is shown, and the whole is a click away; what is hidden is at least TAIL characters
HEAD, HEAD_LINES, TAIL = 700, 10, 100


def signed(value: float | None, digits: int = 4) -> str:
    """With its sign, a true minus, and no negative zero."""
    return NONE if value is None else f"{round(value, digits) + 0.0:+.{digits}f}".replace("-", "−")


def number(value: float | None, digits: int = 4) -> str:
    return NONE if value is None else f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "−")


def limit(value: float) -> str:
    """A margin or budget as the line that a lower bound must stay above, in hundredths or finer."""
    return f"−{value:.2f}" if round(value, 2) == value else f"−{value:g}"


def count(value: int) -> str:
    return f"{value:,}"


def probability(value: float | None) -> str:
    if value is None:
        return NONE
    return "< 0.0001" if value < 0.0001 else f"{value:.4f}"


def digits_for(total: float) -> int:
    """Decimals for a column of amounts, by its total: cents for real money, more where it is less than a coin."""
    return 2 if total >= 10 else 4


def amount(value: float, digits: int) -> str:
    """An amount; one too small for its column is said to be small, never shown as nothing."""
    least = 10.0**-digits
    return f"< {least:.{digits}f}" if 0 < value < least / 2 else f"{value:,.{digits}f}"


def duration(seconds: float) -> str:
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest:02d} s"
    return f"{minutes // 60} h {minutes % 60:02d} min"


def size(bytes_: float) -> str:
    for unit in ("B", "KiB", "MiB"):
        if bytes_ < 1024:
            return f"{bytes_:.0f} {unit}" if unit == "B" else f"{bytes_:.1f} {unit}"
        bytes_ /= 1024
    return f"{bytes_:.1f} GiB"


def beginning(text: str) -> str:
    """The beginning of a text that is too long to be shown at once; empty where it isn't."""
    start = "\n".join(text[:HEAD].split("\n")[:HEAD_LINES])
    return start if len(text) - len(start) > TAIL else ""
