"""The data area in a folder of a test's: sources to snapshot to preferences."""

from collections.abc import Iterable
from pathlib import Path

from infra.settings import load_settings
from infra.store import Store
from tasks.contracts import Preferences, Snapshot
from tasks.data.collect import Place, make_snapshot
from tasks.data.forget import Forgotten, read_forgotten
from tasks.data.sources.objects import Caps
from tasks.data.validate import Where, make_preferences
from tasks.data_spec import DataSpec, SourceSpec


def place_in(folder: Path, store: Store) -> Place:
    return Place(folder, folder / "kept", store, load_settings(), "default")


def snapshot_of(sources: Iterable[str | SourceSpec], folder: Path, store: Store) -> Snapshot:
    """Collect sources (paths relative to ``folder``); what was read is kept in ``folder/kept``."""
    specs = tuple(SourceSpec.model_validate(one) for one in sources)
    return make_snapshot(specs, place_in(folder, store), Caps(), read_forgotten(folder / "kept"))


def preferences_of(
    snapshot: Snapshot,
    data: DataSpec,
    tokenizer: Path,
    gate: Iterable[str],
    folder: Path,
    store: Store,
    spark: str | None = None,
) -> Preferences:
    """Validate; ``gate``: prompts of the gate's items. ``folder`` is the night's, too. ``spark``: a Spark master."""
    guarded = [{"suite": "safety", "item": f"item-{n}", "text": text, "is_prompt": True} for n, text in enumerate(gate)]
    where = Where(store, folder / "kept", folder, "a-night", "shop", spark)
    return make_preferences(snapshot, data, tokenizer, guarded, 1000, where)


__all__ = ["Forgotten", "place_in", "preferences_of", "snapshot_of"]
