"""A bookshop of a hundred rows: the database that the examples of the docstrings run on."""

from __future__ import annotations

import tempfile
from pathlib import Path

import numpy as np
import polars as pl

from rowgraph.artifacts import Draft
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import Cells, write_cell_store
from rowgraph.databases.database import Database
from rowgraph.embeddings import EmbeddingStore
from rowgraph.encoding.row_vectors import write_embeddings
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.forecasting.reader import Reader
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.language.vocabulary import build_model, quiet, train_tokenizer
from rowgraph.rows.linearization import linearize_frame
from rowgraph.tasks.label_tables import Task
from rowgraph.tasks.loading import load_task
from rowgraph.tasks.queries.proposing import propose
from rowgraph.yaml_files import write_yaml

CUSTOMERS, BOOKS, ORDERS = 8, 4, 88
FIRST_DAY = np.datetime64("2024-01-01", "us")
QUESTION = "PREDICT COUNT(orders.*, 0, 30, days) = 0 FOR EACH customers.id"


def write_example(folder: str | Path) -> Database:
    """Write the bookshop as a RelBench 3 folder, the same on every call.

    Tables: `customers` (from their first day on), `books` (without a time) and `orders`, four days
    apart, which name a customer and a book; every second customer stops ordering in the autumn.

    Args:
        folder: gets a folder `bookshop`.

    Returns:
        The database, opened.
    """
    folder = Path(folder) / "bookshop"
    (folder / "db").mkdir(parents=True)
    number = np.arange(ORDERS)
    day = FIRST_DAY + np.timedelta64(4, "D") * number
    customer = np.where(number < 66, number * 3 % CUSTOMERS, number * 6 % CUSTOMERS)
    tables = {
        "customers": pl.DataFrame({
            "id": np.arange(CUSTOMERS), "joined": np.full(CUSTOMERS, FIRST_DAY),
            "city": [["Ulm", "Bonn", None][i % 3] for i in range(CUSTOMERS)]}),
        "books": pl.DataFrame({
            "id": np.arange(BOOKS), "title": ["Emma", "Dracula", "Ulysses", "Kim"],
            "price": [8.5, 9.0, 14.0, 7.25]}),
        "orders": pl.DataFrame({
            "id": number, "placed": day, "customer_id": customer, "book_id": number // 3 % BOOKS,
            "copies": 1 + number % 3})}
    for name, frame in tables.items():
        frame.write_parquet(folder / "db" / f"{name}.parquet")
    write_yaml(folder / "manifest.yaml", {
        "name": "bookshop", "manifest_version": 1, "description": "Made up, for examples.",
        "val_timestamp": "2024-09-01", "test_timestamp": "2024-11-01",
        "tables": {
            "customers": {"pkey": "id", "time_col": "joined", "fkeys": {}},
            "books": {"pkey": "id", "time_col": None, "fkeys": {}},
            "orders": {"pkey": "id", "time_col": "placed",
                       "fkeys": {"customer_id": "customers", "book_id": "books"}}}})
    return Database.open(folder)


def write_example_task(database: Database) -> Task:
    """Ask the bookshop who will order nothing in the next thirty days.

    Args:
        database: of `write_example`; its folder gets `tasks/gone`.

    Returns:
        The task, with its labels.
    """
    with tempfile.TemporaryDirectory() as scratch:
        propose(database, QUESTION, Path(scratch), name="gone").write(database.folder)
    return load_task(database, "gone")


def write_example_vectors(database: Database, folder: str | Path) -> EmbeddingStore:
    """A vector for every row, by a tiny language model that has learned nothing.

    Args:
        database: whose rows.
        folder: gets `checkpoint` and `vectors`.

    Returns:
        The vectors, opened; 16 dimensions.
    """
    settings = BartCheckpointSettings(
        checkpoint=None, vocabulary=320, d_model=16, heads=2, ffn_dim=32, encoder_layers=1,
        decoder_layers=1, max_tokens=64)
    texts = [text for table in database.tables for text in linearize_frame(
        table, database.read(table), database.attributes(table))]
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    checkpoint, vectors = Path(folder) / "checkpoint", Path(folder) / "vectors"
    vectors.mkdir(parents=True)
    with quiet():
        build_model(settings, tokenizer).save_pretrained(checkpoint)
    tokenizer.save_pretrained(checkpoint)
    write_embeddings(database, checkpoint, NodeEmbeddingsSettings(workers=1), Draft(vectors),
                     device="cpu", log=lambda *_: None)
    return EmbeddingStore.open(vectors, {t: database.num_rows(t) for t in database.tables})


def read_example(database: Database) -> Reader:
    """The bookshop as the row-and-graph encoder reads it, three and two neighbours an edge type."""
    with tempfile.TemporaryDirectory() as folder:
        write_cell_store(database, CellStoreSettings(), Draft(Path(folder)))
        return Reader(build_entity_graph(database), Cells.open(Path(folder), database),
                      database.val_timestamp, (3, 2))
