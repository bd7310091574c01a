"""The list of today of a kept model, from the newest artifacts of a profile."""

from pathlib import Path
from typing import Any

import polars as pl

from resources.store import read_handle
from rowgraph.artifacts import ArtifactError
from rowgraph.shared_store import open_store

STAGES = ("source", "entity_graph", "cell_store")


def list_of_today(home: Path, profile: str, database: str, model: Path) -> pl.DataFrame:
    """Everybody who is asked about right after the newest row, as `predictions` lists them.

    Args:
        database: as keys of assets have it.
        model: folder of `adapted_model`.

    Raises:
        ArtifactError: something that it is made of is not there.
    """
    from rowgraph.databases.database import Database
    from rowgraph.forecasting.own_past import Reading
    from rowgraph.serving.asking import ask
    from rowgraph.serving.model import AdaptedModel
    from rowgraph.serving.predicting import table_of

    store = open_store(home)

    def folder(stage: str) -> Path:
        key = stage, database
        handle = read_handle(home, profile, key)
        artifact = handle and store.find(key, handle["recipe"])
        if not artifact:
            raise ArtifactError(f"{'/'.join(key)} has no finished artifact for the profile "
                                f"'{profile}' in {home}; run `rowgraph run --profile {profile}`")
        return artifact.folder

    source, graph, cells = map(folder, STAGES)
    opened = AdaptedModel.open(model)
    reading = Reading(Database.open(source), graph, cells)
    asked = ask(reading.database, opened.facts["task"]["name"])
    return table_of(asked, opened.answers(asked, reading, "cpu"))


def save_served(folder: Path, home: Path, profile: str, database: str,
                model: Path) -> dict[str, Any]:
    """Write an MLflow model that serves a kept one, this one and none that comes after it.

    Args:
        folder: made anew.
        model: folder of `adapted_model`.

    Returns:
        Its configuration.
    """
    import shutil
    import warnings

    import mlflow
    import pandas as pd
    from mlflow.models import ModelSignature
    from mlflow.types.schema import ColSpec, Schema

    from rowgraph.serving.model import AdaptedModel

    facts = AdaptedModel.open(model).facts
    keys, example = list(facts["keys"]), {k: [v] for k, v in facts["keys"].items()}
    config = {"home": str(home.resolve()), "profile": profile, "database": database,
              "model": str(model.resolve()), "keys": keys}
    named = facts["task"]["task_type"] == "multiclass_classification"
    answers = [ColSpec("string" if named else "double", "prediction", required=False),
               *(ColSpec("double", f"probability of {c}", required=False)
                 for c in facts["task"]["classes"]),
               ColSpec("double", "spread", required=False), ColSpec("double", "rank",
                                                                    required=False)]
    columns = [ColSpec("string", key) for key in keys]
    ranked = facts["task"]["task_type"] == "recommendation"  # its keys' names are the database's
    signature = ModelSignature(Schema(columns), None if ranked else Schema([*columns, *answers]))
    shutil.rmtree(folder, ignore_errors=True)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        mlflow.pyfunc.save_model(
            str(folder), python_model=str(Path(__file__).with_name("kept_model.py")),
            model_config=config, pip_requirements=["rowgraph"], input_example=pd.DataFrame(example),
            signature=signature)
    return config
