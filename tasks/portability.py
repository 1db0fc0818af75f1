"""Receipts as they are kept (``HOME/receipts/A--B/RECIPE-DIGEST.json``, A and B kinds of device) and told."""

import re
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from pydantic import ValidationError

from infra.digest import Digest, short
from infra.files import write_whole
from infra.store import Blob, Store
from tasks.errors import ReceiptError
from tasks.receipts import Portability, Receipt, Side

MEDIA = "application/json"


class Kept(NamedTuple):
    receipt: Receipt
    path: Path


def keep_receipt(home: Path, store: Store, receipt: Receipt) -> tuple[Path, Blob]:
    """In the store, and under its devices: whole or not at all."""
    text = receipt.model_dump_json(indent=1) + "\n"
    blob = store.put_bytes(text.encode(), MEDIA)
    path = folder_of(home, *receipt.devices) / f"{receipt.recipe}-{short(blob.digest_, 12)}.json"
    write_whole(path, text)
    return path, blob


def folder_of(home: Path, one: str, other: str) -> Path:
    """Of the receipts of two kinds of device, in any order."""
    first, second = sorted(re.sub(r"[^a-z0-9.-]+", "-", kind.lower()) for kind in (one, other))
    return home / "receipts" / f"{first}--{second}"


def newest_receipt(home: Path, devices: tuple[str, str], model: Digest, phase: Digest) -> Kept | None:
    """The newest receipt of these devices, this base model and this phase (``tasks.receipts.phase_digest``).

    Raises:
        ReceiptError: a file there can't be read: it might be the newest, and say otherwise than an older one.
    """
    found = [Kept(_read(path), path) for path in sorted(folder_of(home, *devices).glob("[!.]*.json"))]
    fitting = [
        kept
        for kept in found
        if kept.receipt.devices == tuple(sorted(devices))
        and all((side.subject.model, side.subject.phase) == (model, phase) for side in kept.receipt.sides)
    ]
    return max(fitting, key=lambda kept: datetime.fromisoformat(kept.receipt.created), default=None)


def _read(path: Path) -> Receipt:
    try:
        return Receipt.model_validate_json(path.read_text())
    except (OSError, UnicodeDecodeError, ValidationError) as error:
        why = error.errors()[0]["msg"] if isinstance(error, ValidationError) else str(error)
        raise ReceiptError(
            f"the receipt {path} can't be read: {why}",
            do="make it again with `nightshift receipt`, and move the file away",
        ) from None


def portability_of(
    home: Path, store: Store, trained: str | None, champion: str | None, model: Digest, phase: Digest
) -> Portability | None:
    """What is known of a move between these kinds of device; None where there was none.

    Args:
        trained, champion: where candidate and champion were trained; None where that was not recorded.
        model: the base model's digest.
    """
    if trained is None or champion is None:
        return _unknown(trained, champion)
    if trained == champion:
        return None
    moved = f"The candidate was trained on {trained}, the champion on {champion}"
    try:
        kept = newest_receipt(home, (trained, champion), model, phase)
    except ReceiptError as error:
        told = f"{moved}: {error.what}. {error.do}."
        return Portability(trained=trained, champion=champion, finding="unknown", receipt=None, told=told)
    if kept is None:
        told = (
            f"{moved}, and no receipt compares the two for this model and phase: "
            f"`nightshift receipt RECIPE --pools A,B` makes one, A being a pool of {trained} and B one of {champion}."
        )
        return Portability(trained=trained, champion=champion, finding="none", receipt=None, told=told)
    finding = kept.receipt.finding
    return Portability(
        trained=trained,
        champion=champion,
        finding="agrees" if finding.agrees else "disagrees",
        receipt=store.put_bytes(kept.path.read_bytes(), MEDIA),
        told=f"{moved}: the receipt of {kept.receipt.created[:10]} {finding.in_words()}.",
    )


def least_shown(phases: Sequence[Portability]) -> Portability | None:
    """What is known of a move of several phases: of the one that is shown least; None where none moved."""
    worst = ("disagrees", "unknown", "none", "agrees")
    return min(phases, key=lambda one: worst.index(one.finding), default=None)


def _unknown(trained: str | None, champion: str | None) -> Portability:
    who = "the candidate" if trained is None else "the champion"
    told = (
        f"On which kind of device {who} was trained was not recorded, so it isn't known whether the training moved: "
        "it is recorded from the next training on."
    )
    return Portability(trained=trained, champion=champion, finding="unknown", receipt=None, told=told)


def in_words(receipt: Receipt) -> str:
    """What ``nightshift receipt`` prints."""
    one, other = receipt.sides
    subject = one.subject
    lines = [
        f"Receipt of {receipt.recipe}: the first {subject.steps} of {subject.of} steps, seed {subject.seed}",
        *(f"  {side.pool}: {_machine(side)}" for side in receipt.sides),
        "",
    ]
    if receipt.finding.worst:
        lines += [f"  {'quantity':<16} {'at step':>7} {'A':>12} {'B':>12} {'difference':>11} {'tolerance':>10}"]
    for worst in receipt.finding.worst:
        here, there = worst.values
        lines.append(
            f"{' ' if worst.holds else '!'} {worst.quantity:<16} {worst.step:>7} {here:>12.6g} {there:>12.6g} "
            f"{worst.difference:>11.2g} {worst.tolerance:>10.2g}"
        )
    return "\n".join([*lines, "", f"{one.device} and {other.device}: {receipt.finding.in_words()}.", ""])


def _machine(side: Side) -> str:
    found = side.machine
    where = f"{found.processes} × {found.accelerator}" if found.accelerator else f"CPU, {found.threads} threads"
    packed = "packed" if found.packed else "padded"
    return f"{side.device} ({where}), PyTorch {found.torch} ({found.build}), {found.computed}, {packed}"
