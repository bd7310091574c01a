"""Maps of a database's rows before and after the GNN: the paper's Figures 6 and 7, with numbers.

The same rows are laid out twice by t-SNE: by the language model's vectors, and by what the
pre-trained GraphSAGE makes of them and their neighbours. As in the paper a row is coloured by its
table. A picture of clusters proves little, so each map comes with its *purity*: the share of a
row's ten nearest neighbours (in the space of the vectors, not in the map) that are rows of its own
table, beside what chance would give and two controls (docs/decisions/report.md).

Legend: N rows drawn, D = embedding dim, H = hidden, T tables, k nearest neighbours.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from rowgraph.artifacts import Draft
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.graph.sampling import TemporalNeighborSampler
from rowgraph.randomness import generator, stable_seed, torch_generator
from rowgraph.reports.settings import RowMapSettings
from rowgraph.sage.model import HeteroGraphSAGE
from rowgraph.sage.settings import SageWeightsSettings

if TYPE_CHECKING:
    from rowgraph.embeddings import Embeddings

NEIGHBOURS = 10
PERPLEXITY = 30.0
ALL = "all tables"
BATCH = 256  # rows whose neighbourhoods are held at once
SPACES = ("before", "projected", "untrained", "one_projection", "after")


def write_row_map(graph: EntityGraph, embeddings: Embeddings, shared_state: Mapping[str, Tensor],
                  sage_settings: SageWeightsSettings, settings: RowMapSettings, draft: Draft, *,
                  device: str) -> dict[str, Any]:
    """Draw rows, embed them, lay them out, and measure how well tables keep apart.

    The graph is the static one, as in pre-training and, it seems, in the paper: no label is used
    and nothing is scored, so there is no seed time. The projections of the database's tables are
    fresh, as at the start of adaptation (Section 4.4), unless pre-training shared one; three
    controls tell what they alone do: `projected` (no message passed), `untrained` (the same
    projections under convolutions that never saw a database) and `one_projection` (the pre-trained
    convolutions over one fresh projection for all tables).

    Args:
        graph: of the database; its tables are the colours.
        embeddings: the language model's vectors of its rows.
        shared_state, sage_settings: of pre-training.
        draft: gets `row_map.parquet` (table, row, before_x, before_y, after_x, after_y) and
            `purity.parquet` (table, rows, chance, before, projected, untrained, one_projection,
            after; the last row is over all tables).
        device: as torch names it; the layout is computed on the CPU, whatever it is.

    Returns:
        Rows drawn, and the purity over all tables in each space.

    Raises:
        ValueError: the database has fewer than five rows.
    """
    drawn = draw_rows(graph.num_nodes, settings.rows, settings.seed)
    count = sum(map(len, drawn.values()))
    if count < 5:
        raise ValueError(f"row_map: {count} rows are too few for a map; leave the database out")
    with _one_thread():
        vectors = _vectors(graph, embeddings, shared_state, sage_settings, drawn, settings.seed,
                           device)
    table = np.repeat(np.arange(len(drawn)), [len(rows) for rows in drawn.values()])
    names = np.array(list(drawn))[table]
    before, after = (layout(vectors[space], settings.seed) for space in ("before", "after"))
    pl.DataFrame({
        "table": names, "row": np.concatenate(list(drawn.values())),
        "before_x": before[:, 0], "before_y": before[:, 1],
        "after_x": after[:, 0], "after_y": after[:, 1],
    }).write_parquet(draft.path("row_map.parquet"))
    purity = _purity_table(list(drawn), table, vectors)
    purity.write_parquet(draft.path("purity.parquet"))
    total = purity.filter(table=ALL).row(0, named=True)
    return {"rows": count, "tables": len(drawn),
            **{f"purity_{k}": round(total[k], 4) for k in ("chance", *SPACES)}}


def draw_rows(sizes: Mapping[str, int], total: int, seed: int) -> dict[str, np.ndarray]:
    """Rows of each table, as evenly as its size allows: what a small table cannot give, the
    others do.

    Args:
        sizes: rows by table.
        total: rows to draw in all; fewer where there are fewer.

    Returns:
        int64 [n] by table in ascending order; tables without rows are left out.
    """
    room = {t: int(n) for t, n in sizes.items() if n}
    share, left = {}, total
    for rank, name in enumerate(sorted(room, key=lambda t: (room[t], t))):
        share[name] = min(room[name], max(1, left // (len(room) - rank)))
        left -= share[name]
    return {t: np.sort(generator("row_map", t, seed).choice(n, share[t], replace=False))
            for t, n in room.items()}


def _vectors(graph: EntityGraph, embeddings: Embeddings, shared_state: Mapping[str, Tensor],
             sage_settings: SageWeightsSettings, drawn: Mapping[str, np.ndarray], seed: int,
             device: str) -> dict[str, np.ndarray]:
    """float32 by space: "before" [N, D], the others [N, H]."""
    def model() -> HeteroGraphSAGE:
        return HeteroGraphSAGE(
            embeddings.dim, graph.node_types, sage_settings.hidden, sage_settings.layers,
            sage_settings.edge_type_reduce, torch_generator("row_map", "weights", seed),
            sage_settings.projections)

    untrained, one_projection, pretrained = model(), model(), model()
    for trained in (one_projection, pretrained):
        trained.load_shared(shared_state)
    if sage_settings.projections == "shared":  # the controls differ by the convolutions alone
        untrained.projections.load_state_dict(pretrained.projections.state_dict())
    first = next(iter(one_projection.projections.values())).state_dict()
    for projection in one_projection.projections.values():
        projection.load_state_dict(first)
    gnns = {"untrained": untrained, "one_projection": one_projection, "after": pretrained}
    gnns = {space: gnn.to(device).eval() for space, gnn in gnns.items()}
    sampler = TemporalNeighborSampler(graph, sage_settings.fan_out)
    found: dict[str, list[Tensor]] = {space: [] for space in SPACES}
    with torch.no_grad():
        for table, rows in drawn.items():
            for start in range(0, len(rows), BATCH):
                part = rows[start:start + BATCH]
                batch = sampler.sample(table, part, None, stable_seed("row_map", seed))
                x = {t: embeddings.gather(t, n_id).to(device) for t, n_id in batch.n_id.items()}
                batch = batch.to(device)
                own = x[table][:len(part)]
                found["before"].append(own)
                found["projected"].append(pretrained.project(table, own))
                for space, gnn in gnns.items():
                    found[space].append(gnn(x, batch))
    return {space: torch.cat(parts).cpu().numpy() for space, parts in found.items()}


@contextmanager
def _one_thread() -> Iterator[None]:
    """t-SNE makes another picture of the last bit of a sum; one thread adds in one order."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def layout(vectors_ND: np.ndarray, seed: int) -> np.ndarray:
    """t-SNE (van der Maaten and Hinton 2008) as scikit-learn computes it, started from the first
    two principal components.

    Returns:
        float32 [N, 2], the same on every call.
    """
    from sklearn.manifold import TSNE
    from threadpoolctl import threadpool_limits

    perplexity = min(PERPLEXITY, (len(vectors_ND) - 1) / 3)
    with threadpool_limits(1):
        tsne = TSNE(perplexity=perplexity, init="pca", learning_rate="auto", n_jobs=1,
                    random_state=stable_seed("row_map", "layout", seed) % 2**32)
        return tsne.fit_transform(np.ascontiguousarray(vectors_ND, dtype=np.float32))


def neighbour_purity(vectors_ND: np.ndarray, table_N: np.ndarray, k: int = NEIGHBOURS,
                     chunk: int = 256) -> np.ndarray:
    """Of each row's k nearest neighbours by Euclidean distance, the share of its own table.

    Args:
        table_N: the number of each row's table.
        k: of neighbours; all other rows where there are fewer.

    Returns:
        float64 [N].
    """
    vectors = vectors_ND.astype(np.float64)
    square, k = (vectors**2).sum(1), min(k, len(vectors) - 1)
    share = np.empty(len(vectors))
    for start in range(0, len(vectors), chunk):
        part = slice(start, start + chunk)
        distance = square[part, None] + square - 2 * vectors[part] @ vectors.T
        rows = np.arange(len(distance))
        distance[rows, start + rows] = np.inf
        nearest = np.argpartition(distance, k - 1, axis=1)[:, :k]
        share[part] = (table_N[nearest] == table_N[part, None]).mean(1)
    return share


def _purity_table(names: list[str], table_N: np.ndarray,
                  vectors: Mapping[str, np.ndarray]) -> pl.DataFrame:
    count = np.bincount(table_N)
    chance = (count - 1) / (len(table_N) - 1)
    rows = {"table": [*names, ALL], "rows": [*count.tolist(), len(table_N)],
            "chance": [*chance.tolist(), float(chance[table_N].mean())]}
    for space in SPACES:
        share = neighbour_purity(vectors[space], table_N)
        rows[space] = [*(np.bincount(table_N, share) / count).tolist(), float(share.mean())]
    return pl.DataFrame(rows)
