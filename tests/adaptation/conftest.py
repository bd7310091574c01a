"""Grounds in the small world, and an autocomplete task over it."""

from __future__ import annotations

import dataclasses
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest
import torch

from rowgraph.adaptation.ground import FINAL, Ground, Training
from rowgraph.adaptation.joint.texts import RowTexts
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.artifacts import Draft
from rowgraph.databases.database import NEVER
from rowgraph.graph.entity_graph import build_entity_graph
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.language.vocabulary import build_model, train_tokenizer
from rowgraph.rows.linearization import linearize_frame
from rowgraph.tasks.label_tables import LabelTable, Task
from tests.worlds.races import World

BOTH = (("frozen_db", 0), ("rolling", 0))


class DigestedTexts:
    """A digest of each row's text as its vector: one changed letter shows."""

    dim = 8

    def __init__(self, database, graph):
        self.tables = graph.node_types
        self._vectors = {t: self._of(database, t) for t in graph.node_types}
        stacked = torch.cat(list(self._vectors.values()))
        self.range = np.stack([stacked.min(0).values.numpy(), stacked.max(0).values.numpy()])

    def _of(self, database, table):
        attributes = database.attributes(table)
        frame = database.read(table, attributes or None)
        digests = [hashlib.blake2b(text.encode(), digest_size=2 * self.dim).digest()
                   for text in linearize_frame(table, frame, attributes)]
        numbers = np.frombuffer(b"".join(digests), dtype=np.uint16).reshape(-1, self.dim)
        return torch.from_numpy((numbers / 32_768 - 1).astype(np.float32))

    def num_rows(self, table):
        return len(self._vectors[table])

    def gather(self, table, rows):
        return self._vectors[table][torch.as_tensor(rows)]


def autocomplete(folder: Path, tables: dict[str, pl.DataFrame], lab,
                 hidden=(("results", "failed"),)) -> World:
    """Which result failed, asked at each result's own time; `hidden` columns are gone."""
    made = lab.build_world(folder, tables)
    database = made.database.without(hidden)
    times = database.times("results")
    failed = tables["results"]["failed"].to_numpy().astype(np.float64)
    splits = {"train": times < lab.VAL, "val": (times >= lab.VAL) & (times < lab.TEST),
              "test": (times >= lab.TEST) & (times != NEVER)}
    labels = {}
    for split, inside in splits.items():
        rows = np.flatnonzero(inside)[::2]
        labels[split] = LabelTable(rows, times[rows], failed[rows])
    task = Task("results-failed", database, "binary_classification", "results", 0, **labels,
                autocomplete=True)
    graph = build_entity_graph(database)
    return World(database, graph, DigestedTexts(database, graph), task)


@pytest.fixture(scope="session")
def autocomplete_world(tmp_path_factory, lab):
    """Autocomplete worlds of any tables."""

    def build(tables=None, **changes):
        folder = tmp_path_factory.mktemp("autocomplete") / "db"
        return autocomplete(folder, lab.frames() if tables is None else tables, lab, **changes)

    return build


@pytest.fixture(scope="session")
def multiclass_task(world) -> Task:
    """Three classes: those of the binary task, and a third for every third driver."""
    task = world.task
    splits = {}
    for split in ("train", "val", "test"):
        labels = task.labels(split)
        splits[split] = dataclasses.replace(
            labels, target=np.where(labels.rows % 3 == 0, 2.0, labels.target))
    return dataclasses.replace(task, task_type="multiclass_classification",
                               classes=("runs", "fails", "unknown"), **splits)


@pytest.fixture(scope="session")
def speaker(world, lab, tmp_path_factory) -> Path:
    """A saved BART of two layers, as wide as the worlds' vectors, that knows their words."""
    settings = BartCheckpointSettings(
        checkpoint=None, vocabulary=300, d_model=lab.DIM, encoder_layers=2, decoder_layers=1,
        heads=2, ffn_dim=16, max_tokens=40, precision="fp32")
    database, texts = world.database, []
    for table in database.tables:
        attributes = database.attributes(table)
        texts.extend(linearize_frame(table, database.read(table, attributes or None), attributes))
    folder = tmp_path_factory.mktemp("speaker")
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    build_model(settings, tokenizer).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def texts_of(speaker):
    """The rows of a database as the speaker reads them."""
    found = {}

    def build(database):
        key = database.folder, database.hidden
        if key not in found:
            found[key] = RowTexts.of(database, speaker, keys=False)
        return found[key]

    return build


@pytest.fixture(scope="session")
def ground_of(world, shared, lab, texts_of):
    """A ground with some settings changed."""

    def build(where=world, task=None, vectors=None, **changes):
        settings = type(lab.SETTINGS).model_validate({**lab.SETTINGS.model_dump(), **changes})
        vectors = vectors or {0: BartVectors(where.store, shared, lab.SAGE,
                                             texts_of(where.database))}
        return Ground(task or where.task, where.graph, vectors, settings, "cpu")

    return build


@pytest.fixture(scope="session")
def train(ground_of):
    """Do one training, by default on the newest fold."""

    def run(name="bart_gnn_finetuned", seed=0, *, ground=None, fold=None, at=None,
            log=lambda *_: None, **changes):
        ground = ground or ground_of(**changes)
        fold = len(ground.folds) - 1 if fold is None else fold
        bart = ground.barts_of(name)[0]
        if at is None:
            at = BOTH if fold != FINAL else tuple((r, ground.settings.epochs) for r, _ in BOTH)
        at = tuple((r, e) for r, e in at if r in ground.settings.regimes)
        training = Training(name, seed, bart, 0, fold, ground.settings.epochs, at)
        return ground.perform(training, log)

    return run


@pytest.fixture
def draft(tmp_path) -> Draft:
    return Draft(tmp_path)
