"""The saved model of a task: its files, and what it answers.

`model.json` names the task, the parts of the blend with their weights, and every member: a fitted
part of one seed, whose arrays lie in `members/<k>.safetensors` and whose trees in
`members/<k>.<j>.txt`. Beside them lie the features that it reads (`columns.parquet`) and the
encoders of the database's own past. Nothing of it is executed when it is read.

Shapes: n asked rows, C classes of a multiclass task.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from safetensors.numpy import load_file, save_file

from rowgraph.adaptation.exams import Exam, Rows
from rowgraph.adaptation.hybrid.models import DRAWN
from rowgraph.adaptation.hybrid.network import Network
from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.adaptation.hybrid.vectors import RowVectors
from rowgraph.adaptation.hybrid.wide_sheets import WideSheets
from rowgraph.adaptation.own_labels import OwnLabels
from rowgraph.artifacts import ArtifactError, Draft, write_json
from rowgraph.features.asked import AskedFeatures, features_of
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.features.store import COLUMNS
from rowgraph.forecasting.own_past import OwnPast, Reading
from rowgraph.serving.asking import Asked
from rowgraph.serving.packing import Packed, Unpacking
from rowgraph.serving.ranked import Lists, lists_of
from rowgraph.serving.scaling import scaled

FORMAT = 1
FACTS = "model.json"
OWN_PAST_FOLDER = "own_past"


@dataclass(frozen=True)
class Member:
    """A fitted part of one seed, at one step.

    Args:
        part: of the blend.
        seed: None where nothing is drawn.
        label: of the candidate that folds chose.
        step: of its path, trees or training.
        file: number of its files.
    """

    part: str
    seed: int | None
    label: str
    step: int
    file: int


@dataclass(frozen=True, eq=False)
class Answers:
    """What a model says of asked rows.

    Args:
        prediction: float64 [n] or [n, C], as `rowgraph.tasks.kinds` says; probabilities scaled.
        spread: float64 [n]: how far the parts of the blend are from each other: the standard
            deviation over parts, by their weights, and seeds, before scaling; of classes that of
            the one that is named.
        by_part: each part's own answers, before scaling.
        features: the window features that were read.
    """

    prediction: np.ndarray
    spread: np.ndarray
    by_part: Mapping[str, np.ndarray]
    features: AskedFeatures


class Members:
    """Writes fitted parts into a draft, one file each."""

    def __init__(self, draft: Draft):
        self._draft = draft
        self.files: list[dict[str, Any]] = []
        self.found: list[Member] = []

    def add(self, part: str, seed: int | None, label: str, steps: Iterable[int],
            packed: Packed) -> None:
        """Keep what was fitted; each step is a member."""
        number = len(self.files)
        arrays = {name: np.ascontiguousarray(array) for name, array in packed.arrays.items()}
        save_file(arrays, self._draft.path(f"members/{number}.safetensors"))
        for k, text in enumerate(packed.texts):
            self._draft.path(f"members/{number}.{k}.txt").write_text(text)
        self.files.append({**packed.facts, "texts": len(packed.texts)})
        self.found += [Member(part, seed, label, step, number) for step in steps]

    def write(self, facts: Mapping[str, Any], features: Path, own_past: OwnPast,
              end: str | None) -> None:
        """Write what is beside the members.

        Args:
            facts: of task and blend.
            features: folder of the window features.
            own_past: whose weights until `end` are needed; None is none.
        """
        shutil.copyfile(features / COLUMNS, self._draft.path(COLUMNS))
        target = self._draft.path(f"{OWN_PAST_FOLDER}/weights.json")
        content = json.loads((own_past.folder / "weights.json").read_text())
        ends = {name: at for name, at in content["ends"].items() if name == end}
        write_json(target, {**content, "ends": ends})
        for seed in own_past.seeds if end else ():
            name = f"{end}/seed_{seed}.safetensors"
            shutil.copyfile(own_past.folder / name, self._draft.path(f"{OWN_PAST_FOLDER}/{name}"))
        write_json(self._draft.path(FACTS), {
            "format": FORMAT, **facts, "files": self.files,
            "members": [vars(member) for member in self.found]})


@dataclass(frozen=True, eq=False)
class AdaptedModel:
    """A saved model, read from its folder.

    Args:
        facts: content of `model.json`.
    """

    folder: Path
    facts: dict[str, Any]

    @classmethod
    def open(cls, folder: Path) -> AdaptedModel:
        """Read what there is; members are read when asked for.

        Raises:
            ArtifactError: it is no model, or one of another version.
        """
        path = Path(folder) / FACTS
        try:
            facts = json.loads(path.read_text())
        except (OSError, ValueError) as error:
            raise ArtifactError(f"{path} is no saved model ({error}); make it with `rowgraph run "
                                "--select adapted_model`") from error
        if facts.get("format") != FORMAT:
            raise ArtifactError(f"{path} has format {facts.get('format')}, this version reads "
                                f"{FORMAT}; make it anew with `rowgraph run --force --select "
                                "adapted_model`")
        return cls(Path(folder), facts)

    @cached_property
    def columns(self) -> list[dict[str, str]]:
        """The window features that it reads."""
        return pq.read_table(self.folder / COLUMNS).to_pylist()

    @property
    def members(self) -> list[Member]:
        """Every fitted part."""
        return [Member(**member) for member in self.facts["members"]]

    def answers(self, asked: Asked, reading: Reading, device: str) -> Answers | Lists:
        """Answer rows; of a recommendation with lists.

        Args:
            asked: about the task that the model is of.
            reading: graph and cells of the database as it is now.
            device: as torch names it.

        Raises:
            ValueError: the task is another one now, or the database lacks what the model reads.
        """
        self._refuse_others(asked)
        facts, view = self.facts, asked.view
        if asked.task.task_type == "recommendation":
            return lists_of(asked.task, view, self._vectors(asked, reading, device), facts,
                            self.members, self._packed)
        features = features_of(
            asked.task, WindowFeaturesSettings.model_validate(facts["features"]), view,
            self.columns, facts["words"])
        rows = Rows(view, np.arange(len(view.labels)))
        at = self._unpacking(asked, reading, features, device)
        found: dict[tuple[str, int | None], list[np.ndarray]] = {}
        for number in dict.fromkeys(member.file for member in self.members):
            packed, there = self._packed(number), [m for m in self.members if m.file == number]
            fitted = at.unpack(packed)
            steps = sorted({member.step for member in there})
            said = ([fitted.answers(rows)] if isinstance(fitted, Network)
                    else fitted.predict(rows, steps))
            for member in there:
                found.setdefault((member.part, member.seed), []).append(
                    said[steps.index(member.step)])
        means = {key: np.mean(each, axis=0) for key, each in found.items()}
        return self._blended(asked, means, features)

    def _blended(self, asked: Asked, means: Mapping[tuple[str, int | None], np.ndarray],
                 features: AskedFeatures) -> Answers:
        weights, seeds = self.facts["weights"], self.facts["seeds"]
        by_seed = {part: [means[part, seed if part in DRAWN else None] for seed in seeds]
                   for part in weights}
        answers = sum(weight * np.mean(by_seed[part], axis=0) for part, weight in weights.items())
        if answers.ndim == 2:  # the class that is named
            named = answers.argmax(axis=1)
            single = {p: [a[np.arange(len(a)), named] for a in each] for p, each in by_seed.items()}
            middle = answers.max(axis=1)
        else:
            single, middle = by_seed, answers
        variance = sum(weight * np.mean([(a - middle) ** 2 for a in single[part]], axis=0)
                       for part, weight in weights.items())
        return Answers(scaled(asked.task, answers, self.facts["temperature"]), np.sqrt(variance),
                       {part: np.mean(each, axis=0) for part, each in by_seed.items()}, features)

    def _refuse_others(self, asked: Asked) -> None:
        task, known = asked.task, self.facts["task"]
        mine = {"database": task.database.name, "name": task.name, "task_type": task.task_type,
                "entity_table": task.entity_table, "timedelta": task.timedelta,
                "classes": list(task.classes), "destination_table": task.destination_table,
                "eval_k": task.eval_k}
        for name, value in mine.items():
            if known[name] != value:
                raise ValueError(f"{task.database.name}/{task.name}: its {name} is {value!r} now "
                                 f"and was {known[name]!r} when the model was fitted; train anew: "
                                 f"`rowgraph run --select adapted_model`")

    def _packed(self, number: int) -> Packed:
        facts = self.facts["files"][number]
        texts = [(self.folder / f"members/{number}.{k}.txt").read_text()
                 for k in range(facts["texts"])]
        return Packed(facts, load_file(self.folder / f"members/{number}.safetensors"), texts)

    def _unpacking(self, asked: Asked, reading: Reading, features: AskedFeatures,
                   device: str) -> Unpacking:
        task, facts = asked.task, self.facts
        vectors = self._vectors(asked, reading, device)
        rows = Rows(asked.view, np.arange(len(asked.view.labels)))
        exam = Exam("test", facts["cut"], rows, None, {})
        sheets = WideSheets(task, features, vectors, facts["encoder"])
        return Unpacking(task, sheets, vectors, OwnLabels(task), exam,
                         RowgraphMetricsSettings.model_validate(facts["settings"]))

    def _vectors(self, asked: Asked, reading: Reading, device: str) -> RowVectors:
        graph, cells = reading.of(asked.task.database)
        return RowVectors(asked.task, graph, cells, OwnPast.open(self.folder / OWN_PAST_FOLDER),
                          None, device)
