"""All pools that a night could run on: every saved block of our pool types, else their defaults."""

from prefect.client.orchestration import get_client
from prefect.exceptions import ObjectNotFound

from infra.errors import PoolError
from infra.pools import POOLS
from infra.pools.base import Pool

ALL = "all"


def saved_pools(names: tuple[str, ...] = (ALL,)) -> dict[str, Pool]:
    """Pools by the name a recipe would call them: ``KIND``, or ``KIND/BLOCK`` for a block of another name.

    Args:
        names: which; ``all`` for all there are.

    Raises:
        PoolError: there is no pool of a name.
    """
    found: dict[str, Pool] = {}
    for kind, pool in POOLS.items():
        blocks = _saved(kind, pool)
        if kind not in blocks:
            found[kind] = pool()
        found |= blocks
    if ALL in names:
        return dict(sorted(found.items()))
    if unknown := [name for name in names if name not in found]:
        raise PoolError(
            f"there is no pool {unknown[0]!r}, only {', '.join(sorted(found))}",
            do="name one of these, save a block of that name (Prefect UI, Blocks), or take --pools all",
        )
    return {name: found[name] for name in dict.fromkeys(names)}


def _saved(kind: str, pool: type[Pool]) -> dict[str, Pool]:
    """The saved blocks of one type; none where the server has never seen the type."""
    with get_client(sync_client=True) as client:
        try:
            slug = client.read_block_type_by_slug(pool.get_block_type_slug()).slug
        except ObjectNotFound:
            return {}
        documents = client.read_block_documents_by_type(slug)
    return {
        kind if document.name == kind else f"{kind}/{document.name}": pool._from_block_document(document)
        for document in documents
        if document.name is not None
    }
