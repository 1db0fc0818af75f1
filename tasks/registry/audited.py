"""When all models were last audited, and when that last found nothing critical: ``HOME/guard/audited.json``."""

from datetime import UTC, datetime
from pathlib import Path

from pydantic import ValidationError

from infra.digest import Record
from infra.files import write_whole
from tasks.errors import RegistryError


class Audited(Record):
    """ISO times, UTC. ``clean_at`` is None until an audit was clean."""

    form: str = "nightshift/audited/1"
    at: str
    clean_at: str | None


def audited_path(home: Path) -> Path:
    return home / "guard" / "audited.json"


def note_audit(home: Path, *, clean: bool) -> None:
    """An audit of all models has ended."""
    now = datetime.now(UTC).isoformat(timespec="seconds")
    try:
        before = read_audited(home)
    except RegistryError:  # written anew; a clean audit that nobody can read of was none
        before = None
    clean_at = now if clean else before.clean_at if before is not None else None
    write_whole(audited_path(home), Audited(at=now, clean_at=clean_at).model_dump_json(indent=1) + "\n")


def read_audited(home: Path) -> Audited | None:
    """The note, or None where no audit has ended yet.

    Raises:
        RegistryError: it can't be read.
    """
    path = audited_path(home)
    try:
        return Audited.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise RegistryError(
            f"{path} can't be read: {str(error).splitlines()[0]}", do="run `nightshift audit`: it writes it anew"
        ) from None
