"""The deployment manifest: what should serve under a name, who decided so, and how to find its files.

``HOME/serving/NAME.json`` is what a serving layer reads. It is written whole or not at all, after the alias moved.
"""

from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from infra.digest import Digest, Record
from infra.files import write_whole
from infra.store import Blob
from tasks.errors import RegistryError


class Line(Record):
    """A line of the recipe's ledger."""

    seq: int
    digest_: Digest


class Served(Record):
    version: int
    model: Digest


class Share(Record):
    """How much of the traffic a version gets. Canaries are the serving layer's: it may split, this names the whole."""

    version: int
    share: float


class Manifest(Record):
    """What serves. ``move`` and ``by`` say how and by whom it came to serve."""

    form: Literal["nightshift/serving/1"] = "nightshift/serving/1"
    name: str
    version: int
    model: Digest
    model_ref: Blob  # of a tasks.contracts.Model, in the store
    evidence: Blob | None  # of a tasks.contracts.Evidence; None for the base model
    verdict: str | None
    move: Literal["init", "promotion", "rollback"]
    by: str  # who approved, rolled back or initialised
    reason: str = ""  # a waiver's or a rollback's
    at: str  # ISO time, UTC, of the move
    approved_by: tuple[str, ...] = ()
    approved_at: str | None = None
    ledger: Line | None = None  # the line about this move
    previous: Served | None = None
    traffic: tuple[Share, ...]
    artefact: str | None = None  # URL of the exported model, where it was exported


def manifest_path(home: Path, name: str) -> Path:
    return home / "serving" / f"{name}.json"


def read_manifest(home: Path, name: str) -> Manifest | None:
    """The manifest, or None where nothing was promoted yet.

    Raises:
        RegistryError: it can't be read.
    """
    path = manifest_path(home, name)
    try:
        return Manifest.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (ValidationError, UnicodeDecodeError) as error:
        raise RegistryError(
            f"the manifest {path} can't be read: {str(error).splitlines()[0]}",
            do="run `nightshift audit`; the next promotion or rollback writes it anew",
        ) from None


def write_manifest(home: Path, manifest: Manifest) -> Path:
    """On disk, whole, when this returns."""
    path = manifest_path(home, manifest.name)
    write_whole(path, manifest.model_dump_json(indent=1) + "\n")
    return path
