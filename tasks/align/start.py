"""What a phase starts from, where that has an adapter: merged to train on, and joined with what comes out."""

from pathlib import Path

from infra.live import Live
from infra.pools.base import Pool
from infra.store import Store
from tasks.contracts import Model
from tasks.lm.base import checkout
from tasks.lm.merged import merged_folder
from tasks.lm.souped import souped


def start_folder(base: Model, home: Path, store: Store, pool: Pool) -> Path:
    """The folder of weights that training starts from."""
    if base.adapter is None:
        return checkout(base, home, store)[0]
    with Live("merge") as on_event:
        return merged_folder(base, home, store, pool, on_event)


def on_top_of(base: Model, trained: Model, home: Path, store: Store, pool: Pool) -> Model:
    """What was trained from ``base``, as one model: a new adapter on a merged one is their exact sum on the same base.

    A model trained in full is that already.
    """
    if base.adapter is None or trained.adapter is None:
        return trained
    with Live("join") as on_event:
        return souped((base, trained), (1.0, 1.0), home, store, pool, on_event)
