"""Files of a source."""

from pathlib import Path

from tasks.errors import SourceError

ENDINGS = (".jsonl", ".jsonl.gz", ".csv", ".csv.gz", ".parquet")


def source_files(source: str, root: Path) -> list[Path]:
    """The files of one source, sorted by name.

    Raises:
        SourceError: the path doesn't exist, or holds no file of a known form.
    """
    path = Path(source).expanduser()
    path = path if path.is_absolute() else root / path
    if path.is_file():
        if not path.name.endswith(ENDINGS):
            raise SourceError(
                f"the source {source} has an ending that is none of {', '.join(ENDINGS)}", do="rename or convert it"
            )
        return [path]
    if not path.is_dir():
        raise SourceError(
            f"the source {source} doesn't exist (looked at {path})",
            do="mend `sources` in the recipe, or --set sources=PATH",
        )
    files = sorted(file for file in path.rglob("*") if file.is_file() and file.name.endswith(ENDINGS))
    if not files:
        raise SourceError(
            f"the folder {path} holds no file ending in {', '.join(ENDINGS)}", do="put the day's preferences there"
        )
    return files
