"""The answers that models gave the gate, out of the scorecards of a version's evidence."""

from collections.abc import Sequence

from infra.store import Store
from tasks.contracts import Role, ScorecardRef
from tasks.gate.scorecard import read_card


def answers_given(cards: Sequence[ScorecardRef], store: Store) -> dict[Role, list[str]]:
    """Every generated answer by who gave it; only suites that both candidate and champion answered whole are compared.

    Cards that the store no longer has are left out, for both.
    """
    found: dict[tuple[Role, str], dict[str, tuple[str, ...]]] = {}
    for ref in cards:
        if ref.role != "anchor" and store.has(ref.card.digest_):
            results = read_card(store.read_bytes(ref.card)).results
            found[ref.role, ref.suite] = {one.id: one.answers for one in results if one.answers}
    given: dict[Role, list[str]] = {"candidate": [], "champion": []}
    for suite in dict.fromkeys(ref.suite for ref in cards):
        both = [found.get((role, suite), {}) for role in given]
        # the same items: else a scoring that stopped early would compare other questions
        for id_ in [id_ for id_ in both[0] if id_ in both[1]]:
            for role in given:
                given[role] += found[role, suite][id_]
    return given
