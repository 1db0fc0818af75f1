"""Preferences as a graph: per prompt, an edge from the better answer to the worse one.

Who prefers A to B, B to C and C to A has no order: every edge of a cycle, of any length, contradicts the others, and
none is believed. An annotator who changed their mind is no contradiction: the later label stands.
"""

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from tasks.data.agreement import Agreement, krippendorff
from tasks.data.words import pc

Places = npt.NDArray[np.int64]
Flags = npt.NDArray[np.bool_]


class Judged(NamedTuple):
    """What the graph says.

    Attributes:
        leaving: ``row``, ``reason`` and ``cycle``, by row. ``relabelled``: its annotator said the opposite later.
            ``contradiction``: another row that stands says the opposite. ``cycle``: only the way round over other
            answers does. ``cycle`` names the rows that contradict each other (the smallest of them); null where
            relabelled.
        agreement: of annotators on pairs of answers that two or more of them judged.
        nameless: rows without an annotator: they contradict, but nobody's mind can have changed, and they don't
            count for agreement.
    """

    leaving: pa.Table
    agreement: Agreement
    nameless: int


def judge(edges: pa.Table) -> Judged:
    """Find what contradicts itself.

    Args:
        edges: a row each: ``row``, ``prompt``, ``better``, ``worse`` (int64, keys of the prompt and of the answers),
            ``time`` (anything that sorts; null: unknown), ``annotator`` (string; null: unknown). Rows that prefer an
            answer to itself are no edge and are ignored.
    """
    edges = edges.filter(pc.not_equal(edges["better"], edges["worse"]))
    row, prompt, better, worse = (edges[name].to_numpy() for name in ("row", "prompt", "better", "worse"))
    forward = better < worse  # by key, not by what is in it: as good as by chance
    better, worse, nodes = _nodes(prompt, better, worse)
    pair, _ = _numbered(np.minimum(better, worse) * nodes + np.maximum(better, worse))
    annotator = _annotators(edges["annotator"])
    relabelled, last = _relabelled(pair, forward, edges["time"], annotator)
    cyclic, component, opposed = _cyclic(better, worse, pair, forward, nodes, ~relabelled)
    reason = np.select([relabelled, opposed, cyclic], ["relabelled", "contradiction", "cycle"], default="")
    leaves = np.flatnonzero(relabelled | cyclic)
    leaves = leaves[np.argsort(row[leaves], kind="stable")]
    first = np.full(nodes, np.iinfo(np.int64).max)
    np.minimum.at(first, component[cyclic], row[cyclic])
    leaving = pa.table(
        {
            "row": pa.array(row[leaves]),
            "reason": pa.array(reason[leaves].tolist(), pa.string()),
            "cycle": pa.array(first[component[leaves]] if len(leaves) else [], pa.int64(), mask=~cyclic[leaves]),
        }
    )
    return Judged(leaving, _agreement(pair[last], forward[last]), int((annotator < 0).sum()))


def _nodes(prompt: Places, better: Places, worse: Places) -> tuple[Places, Places, int]:
    """Number the answers of each prompt; the same answer to another prompt is another node."""
    answers, n_answers = _numbered(np.concatenate((better, worse)))
    prompts = np.tile(_numbered(prompt)[0], 2)  # as numbers, since a product of two keys would overflow
    nodes, n_nodes = _numbered(prompts * n_answers + answers)
    return nodes[: len(better)], nodes[len(better) :], n_nodes


def _numbered(values: Places) -> tuple[Places, int]:
    """Equal values by equal numbers from 0, in the order they are first seen; and how many there are."""
    encoded = pa.array(values).dictionary_encode()
    return encoded.indices.to_numpy().astype(np.int64), len(encoded.dictionary)


def _annotators(names: pa.ChunkedArray) -> Places:
    """Annotators as numbers; -1: unknown."""
    codes = names.combine_chunks().dictionary_encode().indices
    return pc.fill_null(codes, -1).to_numpy(zero_copy_only=False).astype(np.int64)


def _times(times: pa.ChunkedArray) -> Places:
    """Times as ranks from 1; -1: unknown."""
    ranks = pc.rank(times, sort_keys="ascending", tiebreaker="dense").to_numpy()
    return np.where(times.is_null().to_numpy(), -1, ranks.astype(np.int64))


def _relabelled(pair: Places, forward: Flags, time: pa.ChunkedArray, annotator: Places) -> tuple[Flags, Places]:
    """Which rows their annotator took back later, and the indices of one standing row for each annotator and pair.

    Labels without a time, and opposite ones of one moment, take nothing back. An annotator of whom opposite labels
    stand has no standing row.
    """
    known = np.flatnonzero(annotator >= 0)
    owner, n_owners = _numbered(pair[known] * (int(annotator.max(initial=0)) + 1) + annotator[known])
    counts = np.bincount(owner, minlength=n_owners)
    once = known[counts[owner] == 1]
    known, owner = known[counts[owner] > 1], owner[counts[owner] > 1]
    moment, ahead = _times(time.take(pa.array(known))), forward[known]
    latest = np.full(len(counts), -1)
    np.maximum.at(latest, owner, moment)
    last = (moment == latest[owner]) & (moment > 0)
    says = [np.bincount(owner[last & way], minlength=len(counts)) > 0 for way in (~ahead, ahead)]  # backward, forward
    decided = says[0] != says[1]
    taken_back = decided[owner] & (moment > 0) & ~last & (ahead != says[1][owner])
    relabelled = np.zeros(len(pair), bool)
    relabelled[known[taken_back]] = True
    known, owner, ahead = known[~taken_back], owner[~taken_back], ahead[~taken_back]
    stand = [np.bincount(owner[way], minlength=len(counts)) > 0 for way in (~ahead, ahead)]
    one = np.full(n_owners, -1)
    one[owner] = known
    return relabelled, np.concatenate((once, one[(one >= 0) & ~(stand[0] & stand[1])]))


def _cyclic(
    better: Places, worse: Places, pair: Places, forward: Flags, nodes: int, stands: Flags
) -> tuple[Flags, Places, Flags]:
    """Which standing edges lie on a cycle, each edge's component, and which have an opposite edge that stands."""
    if not nodes:
        return np.zeros(0, bool), np.zeros(0, np.int64), np.zeros(0, bool)
    ones = np.ones(int(stands.sum()), np.int8)
    graph = coo_array((ones, (better[stands], worse[stands])), shape=(nodes, nodes)).tocsr()
    _, component = connected_components(graph, directed=True, connection="strong")
    cyclic = stands & (component[better] == component[worse])
    ahead = np.bincount(pair, stands & forward)
    behind = np.bincount(pair, stands & ~forward)
    return cyclic, component[better].astype(np.int64), stands & ((ahead > 0) & (behind > 0))[pair]


def _agreement(pair: Places, forward: Flags) -> Agreement:
    """Units are pairs of answers, values which of the two is better.

    Which answer is called the first goes by its key and not by what is in it, so both values are about as frequent
    and half of all pairs of ratings would differ by chance.
    """
    unit, n_units = _numbered(pair)
    counts = np.bincount(unit * 2 + forward, minlength=2 * n_units).reshape(n_units, 2)
    return krippendorff(counts)
