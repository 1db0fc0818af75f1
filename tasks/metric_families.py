"""Every metric that `nightshift metrics` and the promotion service show, what it means, and by which labels.

Labels are names of recipes, tenants and pools, which operators give, and words of short lists here: no run, night,
version or path is a label, so the number of series doesn't grow with the nights.
"""

from collections.abc import Iterable

from infra.exposition import Family

STATES = ("Completed", "Skipped", "Failed", "Unhealthy", "Interrupted", "OverBudget", "PastDeadline", "other")
VERDICTS = ("PASS", "FAIL", "INCONCLUSIVE", "BLOCK", "none")
STEPS = ("collect", "sample", "validate", "decide", "align", "score", "judge", "register", "other")

# recipe is the registered model's name
FAMILIES = (
    Family(
        "nightshift_night_end_timestamp_seconds", "When the recipe's last night ended.", ("recipe", "tenant", "pool")
    ),
    Family("nightshift_night_duration_seconds", "From its first step's start to its end.", ("recipe",)),
    Family("nightshift_night_state", "1 for the state in which it ended, 0 for the others.", ("recipe", "state")),
    Family("nightshift_night_verdict", "1 for its verdict, 0 for the others.", ("recipe", "verdict")),
    Family("nightshift_night_step_seconds", "What a step held its device for, all attempts.", ("recipe", "step")),
    Family("nightshift_night_amount", "What it cost; prices: quoted or example.", ("recipe", "currency", "prices")),
    Family("nightshift_night_energy_kwh", "Its energy; energy: measured or estimated.", ("recipe", "energy")),
    Family("nightshift_night_gpu_hours", "Its GPU-hours.", ("recipe",)),
    Family("nightshift_night_quarantined_ratio", "Share of its rows that were kept out.", ("recipe",)),
    Family("nightshift_done_timestamp_seconds", "When a night was last Completed or Skipped.", ("recipe",)),
    Family("nightshift_nights", "Billed nights by how they ended; one that is resumed moves.", ("recipe", "state")),
    Family("nightshift_month_amount", "What this month's nights cost.", ("recipe", "tenant", "currency", "prices")),
    Family("nightshift_month_budget_amount", "The recipe's budget a month, where it has one.", ("recipe", "currency")),
    Family("nightshift_champion_version", "The version that serves, by the manifest.", ("recipe",)),
    Family("nightshift_champion_since_timestamp_seconds", "Since when it serves.", ("recipe",)),
    Family("nightshift_awaiting_versions", "Versions that await approval.", ("recipe",)),
    Family("nightshift_awaiting_since_timestamp_seconds", "Since when the oldest of them awaits it.", ("recipe",)),
    Family("nightshift_serving_held", "1 where an incident holds promotions and rollbacks.", ("recipe",)),
    Family("nightshift_incidents_open", "Open incidents; recipe empty: of no single model.", ("recipe",)),
    Family("nightshift_audit_timestamp_seconds", "When all models were last audited."),
    Family("nightshift_audit_clean_timestamp_seconds", "When such an audit last found nothing critical."),
    Family("nightshift_store_bytes", "Size of the objects in the store."),
    Family("nightshift_store_objects", "Their number."),
    Family("nightshift_home_free_bytes", "Free space where the state folder lies."),
    Family("nightshift_home_size_bytes", "Size of that file system."),
    Family("nightshift_remote_jobs", "Jobs of remote pools that have not ended.", ("pool", "state")),
    Family("nightshift_unreadable_files", "Records that can't be read, by kind.", ("kind",)),
    Family("nightshift_collected_timestamp_seconds", "When these metrics were read."),
)

NAMES = {one.name for one in FAMILIES}


def one_of(value: str | None, known: Iterable[str]) -> str:
    """A label's value from its list, else the list's last."""
    words = tuple(known)
    return value if value in words else words[-1]
