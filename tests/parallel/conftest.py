"""Trainings of small worlds as orders, and workers that are started by hand."""

from __future__ import annotations

import json
import multiprocessing
import socket

import pytest

from rowgraph.artifacts import Draft
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.cells.store import write_cell_store
from rowgraph.forecasting.settings import ForecastWeightsSettings, OwnPastWeightsSettings
from rowgraph.parallel.launching import write_order
from rowgraph.parallel.worker import answer_of
from rowgraph.sage.settings import SageWeightsSettings
from tests.worlds.hands import hand

SMALL = {"steps": 20, "width": 8, "output": 8, "batch": 15, "questions": 4, "fan_out": (3, 2),
         "dropout": 0.0, "save_steps": 5, "learning_rate": 1e-3}


@pytest.fixture(scope="session")
def trainings(world, lab, tmp_path_factory):
    """Stage, inputs and settings by name; each takes 20 steps or a little more."""
    made = tmp_path_factory.mktemp("made")
    folders = {"source": world.database.folder, "entity_graph": made / "graph",
               "cell_store": made / "cells", "node_embeddings": world.database.folder / "store"}
    for stage in ("entity_graph", "cell_store"):
        folders[stage].mkdir()
    world.graph.save(folders["entity_graph"])
    write_cell_store(world.database, CellStoreSettings(), Draft(folders["cell_store"]))
    folders = {stage: str(folder) for stage, folder in folders.items()}
    return {
        "sage_weights": ("sage_weights", {"databases": {"rel-races": folders}, "texts": None},
                         SageWeightsSettings(hidden=8, fan_out=(3, 2), batch=97, epochs=2,
                                             learning_rate=1e-4, save_seconds=1)),
        "forecast_weights": ("forecast_weights", {"databases": {"rel-races": folders}},
                             ForecastWeightsSettings(synthetic=1, **SMALL | {"precedents": 2})),
        "own_past_weights": ("own_past_weights", {"database": folders, "ends": {"test": lab.TEST},
                                                  "start": None},
                             OwnPastWeightsSettings(seeds=(0,), workers=1, **SMALL)),
    }


@pytest.fixture(scope="session")
def by_hand():
    """Do an order in two processes over gloo, and return what is answered."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["tests.worlds.hands"])

    def done(stage, inputs, settings, folder, answer="summary"):
        folder.mkdir(exist_ok=True)
        order = write_order(stage, inputs, settings.model_dump(mode="json"),
                            Draft(folder), "cpu")
        with socket.socket() as found:
            found.bind(("127.0.0.1", 0))
            port = found.getsockname()[1]
        processes = [context.Process(target=hand, args=(order, rank, 2, port)) for rank in range(2)]
        for process in processes:
            process.start()
        for process in processes:
            process.join()
        assert [p.exitcode for p in processes] == [0, 0]
        return json.loads(answer_of(order).read_text())[answer]

    return done

