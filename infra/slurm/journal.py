"""What the worker has submitted, as one file a flow run: read again by a worker that was restarted.

A file is written before sbatch is called and again with the job's number, each time whole and on the disk. A worker
that was killed between the two finds a file without a number, and asks Slurm for a job of its name: no job is submitted
twice, and none is forgotten.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from infra.digest import Record
from infra.files import write_whole
from infra.launch import Launch


class Entry(Record):
    """One flow run's job. ``job`` is None from before sbatch until its answer.

    The launch itself is kept, not where it lies: the night that wrote it may be started again meanwhile, and begins
    with an empty folder.
    """

    flow_run: str
    launch: Launch
    slurm: dict[str, Any] = Field(default_factory=dict)  # of infra.slurm.script.SlurmOptions
    job: str | None = None
    asked: bool = False  # the night asked it to end


class Journal:
    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def write(self, entry: Entry) -> None:
        write_whole(self._path(entry.flow_run), entry.model_dump_json())

    def read(self, flow_run: str) -> Entry | None:
        try:
            return Entry.model_validate_json(self._path(flow_run).read_text())
        except FileNotFoundError:
            return None

    def forget(self, flow_run: str) -> None:
        """Its end is known and said."""
        self._path(flow_run).unlink(missing_ok=True)

    def __iter__(self) -> Iterator[Entry]:
        for path in sorted(self.folder.glob("*.json")):
            try:
                yield Entry.model_validate_json(path.read_text())
            except (ValidationError, FileNotFoundError):  # somebody else's file, or forgotten meanwhile
                continue

    def _path(self, flow_run: str) -> Path:
        return self.folder / f"{flow_run}.json"
