"""What a reader gives: a record of an object with the bytes it came as, or what is no record and why."""

from typing import Any, NamedTuple


class Record(NamedTuple):
    """One record.

    Attributes:
        value: the JSON object, the CSV row by its header, or the Parquet row.
        raw: its bytes as they came; of Parquet its JSON.
        line: line or row number from 1.
    """

    value: dict[str, Any]
    raw: bytes
    line: int


class Broken(NamedTuple):
    """What is no record: kept with its bytes (the first of many), for the quarantine.

    Attributes:
        line: line or row number from 1; 0: the object as a whole.
        error: why, for people.
    """

    raw: bytes
    line: int
    error: str
