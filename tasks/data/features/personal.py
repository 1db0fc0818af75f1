"""Which rows hold personal data or a secret, a column a kind.

RE2 over whole Arrow columns says which texts could hold something, and of which kinds; only these become Python text
and are looked at by those kinds' rules and libraries.
"""

from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tasks.data.personal.find import HINTS, find
from tasks.data.personal.spans import KINDS
from tasks.data_spec import PHONE_REGIONS

COLUMNS = TEXTS = ("prompt_text", "chosen_text", "rejected_text")
CODE, LIBRARIES = ("tasks/data/personal",), ("detect-secrets", "phonenumbers", "python-stdnum")

# in one pass over the text: six cost six times as much
ANY_HINT = "|".join(f"(?:{pattern})" for pattern in HINTS.values())


def compute(rows: pa.Table, regions: tuple[str, ...] = PHONE_REGIONS) -> pa.Table:
    """Boolean columns ``email, phone, iban, card, ip, secret``: found in prompt, chosen or rejected.

    Args:
        rows: with the three texts; a null is an empty text.
        regions: countries whose national telephone numbers are known.

    Returns:
        as many rows, in the same order.
    """
    found = {kind: np.zeros(rows.num_rows, dtype=bool) for kind in KINDS}
    for name in TEXTS:
        column = rows[name]
        places = np.flatnonzero(_matches(column, ANY_HINT))
        texts = column.take(pa.array(places))
        hinted = {kind: _matches(texts, HINTS[kind]) for kind in KINDS}
        for i, (place, text) in enumerate(zip(places, texts.to_pylist(), strict=True)):
            for span in find(text, regions, [kind for kind in KINDS if hinted[kind][i]]):
                found[span.kind][place] = True
    return pa.table({kind: pa.array(found[kind]) for kind in KINDS})


def _matches(texts: pa.ChunkedArray, pattern: str) -> np.ndarray:
    found: Any = pc.match_substring_regex(texts, pattern)  # pyright: ignore[reportAttributeAccessIssue]
    return pc.fill_null(found, False).to_numpy()
