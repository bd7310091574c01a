"""The model of each part of a task, and what of it may be tried."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rowgraph.adaptation.exams import Exams
from rowgraph.adaptation.hybrid.finetuning import FineTuned, Ground, opened
from rowgraph.adaptation.hybrid.on_vectors import LinearOnVectors
from rowgraph.adaptation.hybrid.vectors import OWN_PAST, PRETRAINED, UNTRAINED, RowVectors
from rowgraph.adaptation.hybrid.wide_sheets import WideSheets
from rowgraph.adaptation.hybrid.zero_shot import ZeroShot
from rowgraph.adaptation.own_labels import EntityHistory, OwnLabels
from rowgraph.adaptation.shallow import LinearOnWindows, Picks, TreesOnWindows
from rowgraph.adaptation.sheets import Sheets
from rowgraph.adaptation.trials import Candidate, Model
from rowgraph.features.store import WindowFeatures

DRAWN = ("trees", "finetuned")  # parts whose answers depend on the seed


@dataclass(frozen=True, eq=False)
class Models:
    """What the parts of a task are fitted with; any process can open the same.

    Args:
        ground: task, database, own past and settings.
        features: folder of the task's window features.
        state: folder of finished trainings.
    """

    ground: Ground
    features: Path
    state: Path

    @property
    def token(self) -> str:
        """Tells the grounds of models apart."""
        return self.ground.token

    @property
    def _windows(self) -> WindowFeatures:
        return WindowFeatures.open(self.features, self.state / "windows")

    @property
    def exams(self) -> Exams:
        """Of the task."""
        return opened(self.ground)[1]

    @property
    def vectors(self) -> RowVectors:
        """Of the task's rows."""
        return opened(self.ground)[0]

    @property
    def own(self) -> OwnLabels:
        """What is known of the entities' own labels."""
        return opened(self.ground)[2]

    @cached_property
    def kind(self) -> str:
        """Of the encoder that trees and fine-tuning stand on: own past, where it could be asked
        before every exam."""
        exams = (*self.exams.folds, self.exams.test)
        served = self.vectors.own_past.serves(exam.cut for exam in exams)
        return OWN_PAST if served else UNTRAINED

    @property
    def gone(self) -> set[str]:
        """Parts that this task cannot have."""
        task = self.ground.task
        return ({"history"} if task.autocomplete else set()) | (
            {"own_past"} if self.kind == UNTRAINED else set()) | (
            set() if ZeroShot.answers(task) else {"zero_shot"})

    @property
    def ages(self) -> tuple[bool, ...]:
        """Whether rows may be aged: fresh ones always, aged ones for `frozen_db`."""
        return (False, True) if "frozen_db" in self.exams.regimes else (False,)

    def of(self, name: str) -> Model:
        """The model of a part."""
        task, settings = self.ground.task, self.ground.settings
        match name:
            case "untrained" | "own_past" | "pretrained":
                kind = {"untrained": UNTRAINED, "own_past": OWN_PAST}.get(name, PRETRAINED)
                count = self.vectors.count(kind, settings.untrained)
                return LinearOnVectors(task, self.vectors, self.own, kind, count, name)
            case "windows":
                sheets = Sheets(task, self._windows)
                return LinearOnWindows(task, Picks(task, sheets), settings.linear_features, name)
            case "trees":
                wide = WideSheets(task, self._windows, self.vectors, self.kind)
                return TreesOnWindows(task, Picks(task, wide), settings.trees, settings.bags, name)
            case "finetuned":
                return FineTuned(self.ground, self.exams, self.state, self.kind)
            case "history":
                return EntityHistory(task, self.own, name)
        weights = self.vectors.weights(PRETRAINED, self.exams.test, 0)
        return ZeroShot(task, self.vectors, weights)

    def candidates(self, name: str, model: Model) -> list[Candidate]:
        """Everything that may be tried of a part; of trees first, all features at a plain size."""
        if name in ("history", "zero_shot"):
            return model.candidates()
        if name == "trees":
            return [c for aged in self.ages for c in model.parts(aged)]
        return [c for aged in self.ages for c in model.candidates(aged)]

    def by_label(self, name: str, model: Model) -> dict[str, Candidate]:
        """Everything that may have been chosen of a part."""
        found = self.candidates(name, model)
        if name == "trees":
            found = [c for one in found for c in model.sizes(one)]
        return {candidate.label: candidate for candidate in found}
