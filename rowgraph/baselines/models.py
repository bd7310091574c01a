"""The baselines of one task that have something to choose, as models to be tried."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.own_labels import EntityHistory, OwnLabels
from rowgraph.adaptation.shallow import LinearOnWindows, Picks, TreesOnWindows
from rowgraph.adaptation.sheets import Sheets
from rowgraph.adaptation.trials import Model
from rowgraph.baselines.entity_row import EntityRow
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.features.store import WindowFeatures
from rowgraph.tasks.label_tables import Task


@dataclass(frozen=True, eq=False)
class Models:
    """What baselines are fitted with; any process can open the same.

    Args:
        features: folder of the task's window features; None where no baseline needs them.
        state: a folder for what processes share.
    """

    task: Task
    features: Path | None
    settings: BaselineMetricsSettings
    state: Path
    token: str = field(default_factory=lambda: uuid.uuid4().hex)  # tells them from others

    def __reduce__(self) -> tuple[type[Models], tuple]:
        """Without what was read."""
        return Models, (self.task, self.features, self.settings, self.state, self.token)

    @cached_property
    def exams(self) -> Exams:
        """Of the task."""
        return Exams.of(self.task, self.settings, self.settings.fit_rows,
                        self.settings.choice_rows)

    @cached_property
    def own(self) -> OwnLabels:
        """What is known of the entities' own labels."""
        return OwnLabels(self.task)

    @cached_property
    def picks(self) -> Picks:
        """Which window features the Data Scientist is given."""
        windows = WindowFeatures.open(self.features, self.state / "windows")
        return Picks(self.task, Sheets(self.task, windows))

    def of(self, name: str) -> Model:
        """A baseline."""
        task, settings = self.task, self.settings
        match name:
            case "entity_history":
                return EntityHistory(task, self.own)
            case "lightgbm_entity":
                return EntityRow(task, settings.trees)
            case "data_scientist":
                return TreesOnWindows(task, self.picks, settings.trees, settings.bags)
        return LinearOnWindows(task, self.picks, settings.linear_features)
