"""Trainings of comparisons that are kept: ``HOME/comparisons/trainings/ID/trained.json``, whole or not at all."""

from pathlib import Path

from pydantic import ValidationError

from infra.digest import Digest, short
from infra.files import write_whole
from tasks.compared import Training
from tasks.errors import CompareError


def path_of(home: Path, id_: Digest) -> Path:
    return home / "comparisons" / "trainings" / short(id_, 16) / "trained.json"


def kept(home: Path, id_: Digest) -> Training | None:
    """The training of this id; None where none came to an end.

    Raises:
        CompareError: it can't be read. It is not done again silently: that would be paid for.
    """
    path = path_of(home, id_)
    try:
        return Training.model_validate_json(path.read_text())
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        raise CompareError(
            f"{path} can't be read: {str(error).splitlines()[0]}",
            do="put back a copy, or remove it: the training is done again",
        ) from None


def keep(home: Path, id_: Digest, trained: Training) -> Training:
    """Keep what is a result: finished, or stopped as unhealthy, which it would be again. What failed is tried again."""
    if trained.state != "Failed":
        write_whole(path_of(home, id_), trained.model_dump_json(indent=1) + "\n")
    return trained
