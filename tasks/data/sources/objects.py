"""What a source holds: objects as they were listed, and how much of one is read."""

from typing import NamedTuple

from tasks.data_spec import Caps

RECORD_FORMS = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".parquet": "parquet"}
DOCUMENT_ENDINGS = (
    ".md", ".markdown", ".html", ".htm", ".xhtml", ".txt", ".text", ".pdf", ".json", ".questions.jsonl",
)  # fmt: skip
CODECS = {".gz": "gzip", ".zst": "zstd"}

# of what is no record, the quarantine keeps the first bytes
KEPT_BYTES = 64 << 10

__all__ = ["CODECS", "Caps", "SourceObject", "bare_name", "endings"]


class SourceObject(NamedTuple):
    """One object as it was listed; it is read in this state, or not at all.

    Attributes:
        name: relative to its source, with ``/``.
        url: the local path, or ``s3://bucket/key``.
        size: bytes, as it lies there. Of a local file no more than these are read, though it may have grown.
        version: the ETag on S3; empty for a local file.
        modified_ns, inode: of a local file.
        within: the folder that a local file may not leave by a link; empty where the source is the file itself.
        refused: why it is not read; empty: it is.
    """

    name: str
    url: str
    size: int
    version: str = ""
    modified_ns: int = 0
    inode: int = 0
    within: str = ""
    refused: str = ""

    @property
    def on_s3(self) -> bool:
        return self.url.startswith("s3://")

    @property
    def codec(self) -> str | None:
        """``gzip`` or ``zstd``, by its name's ending."""
        return next((codec for ending, codec in CODECS.items() if self.name.lower().endswith(ending)), None)

    @property
    def form(self) -> str | None:
        """``jsonl``, ``csv`` or ``parquet``, by its name's ending."""
        bare = bare_name(self.name)
        return next((form for ending, form in RECORD_FORMS.items() if bare.endswith(ending)), None)


def bare_name(name: str) -> str:
    """A name in small letters, without the ending that says how it is compressed."""
    name = name.lower()
    return next((name.removesuffix(ending) for ending in CODECS if name.endswith(ending)), name)


def endings(kind: str) -> tuple[str, ...]:
    """How names of objects of a source of this kind end, before what says that they are compressed."""
    return DOCUMENT_ENDINGS if kind == "documents" else tuple(RECORD_FORMS)
