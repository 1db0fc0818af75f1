"""What is asked in service, counted: what tonight's data is compared with, so that a model learns what it is for."""

from itertools import islice

import numpy as np
import pyarrow as pa

from infra.digest import Digest, Record, digest_of
from infra.settings import Settings
from infra.store import Blob, Store
from tasks.data.collect import Place
from tasks.data.drift import Marginals, marginals
from tasks.data.kinds.asked import asked
from tasks.data.records import Broken
from tasks.data.records import Record as Read
from tasks.data.sources.listing import list_objects
from tasks.data.sources.objects import Caps, SourceObject
from tasks.data.sources.opening import identity
from tasks.data.sources.reading import read_object, settled
from tasks.data_spec import ServedSpec, SourceSpec
from tasks.errors import SourceError


class Served(Record):
    """Counts of what is asked in service.

    Attributes:
        path: the source's, as the recipe says it.
        objects: read, the newest first.
        unread: records without a prompt among them.
    """

    path: str
    marginals: Marginals
    objects: int
    unread: int


def count_served(spec: ServedSpec, place: Place, caps: Caps) -> Blob:
    """Count the prompts of the newest objects, until there are ``spec.prompts``; a ``Served`` as JSON.

    Raises:
        SourceError: the source is missing, can't be read, or holds no prompt.
    """
    prompts: list[str] = []
    unread = read = 0
    for one in _newest_first(spec, place):
        if len(prompts) >= spec.prompts:
            break
        found, broken = settled(one, place.settings, lambda obj: _prompts_of(obj, caps, place.settings, spec.prompts))
        prompts, unread, read = prompts + found, unread + broken, read + 1
    if not prompts:
        raise SourceError(
            f"none of the {unread} record(s) of {spec.path} holds a prompt",
            do="take [data.served] out of the recipe, or point its path at logs of what is asked (docs/guides/data.md)",
        )
    rows = pa.table({"prompt_text": pa.array(prompts[: spec.prompts], pa.string())})
    rows = rows.append_column("drawn", pa.array(np.random.default_rng(0).random(rows.num_rows)))
    counted = Served(path=spec.path, marginals=marginals(rows), objects=read, unread=unread)
    return place.store.put_bytes(counted.model_dump_json().encode(), "application/json")


def served_fingerprint(spec: ServedSpec, place: Place) -> Digest:
    """What decides the counts."""
    objects = _newest_first(spec, place)
    return digest_of([spec.prompts, [[one.name, settled(one, place.settings, identity)] for one in objects]])


def read_served(blob: Blob, store: Store) -> Served:
    """What ``count_served`` wrote."""
    return Served.model_validate_json(store.read_bytes(blob))


def _newest_first(spec: ServedSpec, place: Place) -> list[SourceObject]:
    """By time where a file has one, then by name: exports are called by their days."""
    found = list_objects(SourceSpec(path=spec.path, kind="conversations"), place.root, place.settings)
    return sorted(found, key=lambda one: (one.modified_ns, one.name), reverse=True)


def _prompts_of(obj: SourceObject, caps: Caps, settings: Settings, most: int) -> tuple[list[str], int]:
    """An object's prompts as rows have them, and how many records hold none."""
    found: list[str] = []
    broken = 0
    for record in islice(read_object(obj, caps, settings), most):
        texts = [] if isinstance(record, Broken) else _texts(record)
        found += texts
        broken += not texts
        if len(found) >= most:
            break
    return found, broken


def _texts(record: Read) -> list[str]:
    try:
        return ["\n".join(one["content"] for one in prompt) for prompt in asked(record)]
    except ValueError:  # a record that is no request: counted, and of no use here
        return []
