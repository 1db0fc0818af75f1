"""Deployment targets: saved Prefect blocks, named ``type-slug/name`` as in a recipe's ``deploy.targets``."""

from infra.errors import TargetError
from infra.targets.base import Pointer, Target
from infra.targets.hook import HttpHookTarget
from infra.targets.kubernetes import KubernetesTarget
from infra.targets.pointer import PointerTarget

TARGETS: tuple[type[Target], ...] = (PointerTarget, KubernetesTarget, HttpHookTarget)

__all__ = [
    "TARGETS", "HttpHookTarget", "KubernetesTarget", "Pointer", "PointerTarget", "Target", "target_named",
]  # fmt: skip


def target_named(reference: str) -> Target:
    """The saved block of a target.

    Args:
        reference: ``type-slug/name``, e.g. ``nightshift-pointer/shop``.

    Raises:
        TargetError: there is no such kind of target, or no such block.
    """
    slug, _, name = reference.partition("/")
    kinds = {kind.get_block_type_slug(): kind for kind in TARGETS}
    if slug not in kinds or not name:
        raise TargetError(
            f"{reference!r} names no target: its kind is none of {sorted(kinds)}",
            do="write `kind/name` in deploy.targets, as the block is called in the Prefect UI",
        )
    try:
        return kinds[slug].load(name)  # pyright: ignore[reportReturnType]
    except ValueError as error:  # Prefect's answer to a block that was never saved, or that doesn't fit its form
        raise TargetError(
            f"the target {reference} can't be loaded: {str(error).splitlines()[0]}",
            do="save it in the Prefect UI under Blocks, or with Python: the block's `.save(name)`",
        ) from None
