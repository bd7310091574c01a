"""The databases of a pre-training, opened from their folders in whichever process trains."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rowgraph.databases.database import Database
from rowgraph.embeddings import EmbeddingStore
from rowgraph.encoding.encoder import RowEncoder
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.sage.inputs import PretrainDatabase
from rowgraph.sage.masked_texts import MaskedTexts


def open_databases(databases: Mapping[str, Mapping[str, str]], texts: Mapping[str, Any] | None,
                   device: str) -> list[PretrainDatabase]:
    """Graphs and vectors, and masked texts where the objective encodes them.

    Args:
        databases: by name the folders `entity_graph`, `node_embeddings` and, with texts, `source`.
        texts: `checkpoint` (a folder), `settings` of the vectors and `keys` of the checkpoint;
            None where nothing is encoded.
        device: of the encoder.
    """
    encoder = None if texts is None else RowEncoder.open(
        Path(texts["checkpoint"]), NodeEmbeddingsSettings.model_validate(texts["settings"]), device)
    found = []
    for name, folders in databases.items():
        graph = EntityGraph.load(Path(folders["entity_graph"]))
        vectors = EmbeddingStore.open(Path(folders["node_embeddings"]), graph.num_nodes)
        masked = None
        if encoder is not None:
            database = Database.open(Path(folders["source"]))
            masked = MaskedTexts(database, encoder, {
                t: database.attributes(t, texts["keys"]) for t in database.tables})
        found.append(PretrainDatabase(name, graph, vectors, masked))
    return found
