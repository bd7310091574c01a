"""What `mlflow models serve` runs: a kept model, asked about the newest rows, answers keys.

MLflow keeps this file and a small configuration, no pickle; model and rows lie in the home, so that
what it answers follows the newest `source`, `entity_graph` and `cell_store` of the profile.
"""

from pathlib import Path
from typing import Any

import mlflow
import pandas as pd
from mlflow.pyfunc import PythonModel, PythonModelContext


class KeptModel(PythonModel):
    """Answers a data frame of primary keys with a data frame of predictions in its order."""

    def load_context(self, context: PythonModelContext) -> None:
        """Ask about everybody once, as `rowgraph predict` does."""
        from resources.served_lists import list_of_today

        config = context.model_config
        frame = list_of_today(Path(config["home"]), config["profile"], config["database"],
                              Path(config["model"]))
        self.keys = config["keys"]
        self.answers = frame.to_pandas()
        self.answers[self.keys] = self.answers[self.keys].astype(str)

    def predict(self, context: PythonModelContext, model_input: pd.DataFrame,
                params: dict[str, Any] | None = None) -> pd.DataFrame:
        """Predictions of some keys; empty for who is not asked about now."""
        asked = pd.DataFrame(model_input)[self.keys].astype(str)
        return asked.merge(self.answers, on=self.keys, how="left")


mlflow.models.set_model(KeptModel())
