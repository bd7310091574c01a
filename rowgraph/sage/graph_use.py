"""Does a pre-trained model use the graph? Its test error beside answers that do not.

| figure | error of |
|---|---|
| `mse` | the model |
| `shuffled_mse` | the model when every neighbour is replaced by another row of its table |
| `column_mean_mse` | the mean of each dimension over the table's training rows |
| `ridge_mse` | ridge regression from what is visible of the row itself |

All are means over test nodes of the squared error per hidden dimension. `explained` is
`1 - mse / column_mean_mse`, `ridge_explained` the same of the ridge regression, and
`from_neighbours` is `1 - mse / shuffled_mse`: the share of the error that true neighbours take
away. A model that reads its neighbours has it above zero; one that needs them to be good has
`explained` above `ridge_explained`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import polars as pl
import torch
from torch import Tensor

from rowgraph.randomness import torch_generator
from rowgraph.sage.inputs import InputMaker, Inputs
from rowgraph.sage.seeds import SeedPlan, Seeds
from rowgraph.sage.yardsticks import Sample, Yardsticks

YARDSTICK_ROWS = 10_000  # of a table that its yardsticks are fitted on, at most (about)
PENALTY_ROWS = 2_000  # of a table that the penalty is chosen on, at most (about)
ENCODED_ROWS = 2_000  # and 500: where each row's text has to be encoded again
ERRORS = ("mse", "shuffled_mse", "column_mean_mse", "ridge_mse")


class TableYardsticks:
    """The yardsticks of each table, fitted when it is first asked for.

    Args:
        inputs, plan: of the pre-training whose nodes they are fitted on.
        encodes: whether hiding a row encodes its text again, which costs time.
    """

    def __init__(self, inputs: InputMaker, plan: SeedPlan, encodes: bool):
        self.inputs, self.plan, self.encodes = inputs, plan, encodes
        self._found: dict[tuple[str, str], Yardsticks] = {}

    def of(self, seeds: Seeds) -> Yardsticks:
        """Those of the seeds' table."""
        where = seeds.database, seeds.table
        if where not in self._found:
            sizes = (ENCODED_ROWS, ENCODED_ROWS // 4) if self.encodes else (YARDSTICK_ROWS,
                                                                            PENALTY_ROWS)
            samples = [self._sample(*where, split, size)
                       for split, size in zip(("train", "validation"), sizes, strict=True)]
            self._found[where] = Yardsticks.fit(*samples, seen_whole=self.encodes)
        return self._found[where]

    def _sample(self, database: str, table: str, split: str, size: int) -> Sample:
        rows = self.plan.nodes[database][table][split]
        rows = rows[::max(1, len(rows) // size)]
        return Sample(*self.inputs.hidden(Seeds(database, table, rows), ("yardstick", split)))


def with_other_neighbours(inputs: Inputs, *what: object) -> dict[str, Tensor]:
    """The batch's vectors with those of each table dealt anew among its rows, the seeds' own left
    alone: the same graph, telling nothing of the seed."""
    x = {}
    for place, (node_type, vectors) in enumerate(inputs.x.items()):
        kept = len(inputs.truth) if node_type == inputs.batch.input_type else 0
        order = torch.randperm(len(vectors) - kept,
                               generator=torch_generator("shuffled neighbours", place, *what))
        dealt = vectors[kept:][order.to(vectors.device)]
        x[node_type] = torch.cat([vectors[:kept], dealt])
    return x


def graph_use(by_database: Mapping[str, Mapping[str, float]]) -> dict[str, dict[str, Any]]:
    """The table of this module by database, from mean errors and nodes (`n`)."""
    table = {}
    for database, found in by_database.items():
        facts: dict[str, Any] = {"nodes": int(found["n"])}
        facts |= {name: round(found[name], 8) for name in ERRORS}
        mean = max(found["column_mean_mse"], 1e-12)
        table[database] = facts | {
            "explained": round(1 - found["mse"] / mean, 4),
            "ridge_explained": round(1 - found["ridge_mse"] / mean, 4),
            "from_neighbours": round(1 - found["mse"] / max(found["shuffled_mse"], 1e-12), 4)}
    return table


def graph_use_frame(table: Mapping[str, Mapping[str, Any]]) -> pl.DataFrame:
    """The same as a frame, a row per database."""
    return pl.DataFrame([{"database": name, **facts} for name, facts in table.items()])
