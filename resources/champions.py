"""Which training of each model is the champion of a profile: docs/decisions/champion.md

`<home>/champions/<profile>.json` is what counts; alias and tags in MLflow follow it, so that a
decision can be made while MLflow is away. Each training is judged once: when a report is the first
to show what it is worth. By asset the file keeps `champion` and `latest` (training, recipe, data
version and what they are judged by: artifacts by key and recipe), the trainings that were `judged`
and the last `decision`, with the figures that it was read off.
"""

import datetime as dt
import json
import warnings
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from resources.registry import MODELS, model_name, training_of
from resources.store import read_handle
from rowgraph.artifacts import Artifact, Key, read_manifest
from rowgraph.shared_store import open_store, write_record

ASKING = ("downstream_metrics", "rowgraph_metrics")  # stages that ask models about tasks
CROWNED, STAYS = "crowned", "stays"


@dataclass
class Candidate:
    """The latest training of a model, and what it is judged by.

    Args:
        measured: by question: `task`, `variant`, and key and recipe of `source` and `predictions`.
    """

    artifact: Artifact
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)

    def facts(self, version: str | None) -> dict[str, Any]:
        """What the file keeps of it; `version` is that of the registry."""
        return {"training": training_of(self.artifact), "recipe": self.artifact.recipe,
                "data_version": self.artifact.data_version, "version": version,
                "measured": self.measured}


def needed(home: Path) -> set[tuple[Key, str]]:
    """Key and recipe of every artifact that some champion of a home is compared by."""
    found: set[tuple[Key, str]] = set()
    for path in (Path(home) / "champions").glob("*.json"):
        for asset, record in Champions(home, path.stem).read().items():
            champion = record["champion"]
            found.add((tuple(asset.split("/")), champion["recipe"]))
            found |= {(tuple(m[of][0]), m[of][1]) for m in champion["measured"].values()
                      for of in ("source", "predictions")}
    return found


def served(home: Path, profile: str, newest: Artifact) -> Artifact:
    """Which training of a kept model is asked: the newest, unless it was judged and stayed behind;
    then the champion, as far as its files are there.

    Args:
        newest: the latest `adapted_model` of a task under the profile.
    """
    champions = Champions(home, profile)
    record = champions.read().get("/".join(newest.key))
    training = training_of(newest)
    if record is None or training not in record["judged"]:
        return newest
    champion = record["champion"]
    if training == champion["training"] or newest.data_version == champion["data_version"]:
        return newest
    found = champions.store.usable(newest.key, champion["recipe"]) or newest
    if found.data_version == champion["data_version"]:
        return found
    folder = champions.home / "models" / model_name(profile, newest.key) / champion["training"]
    manifest = read_manifest(folder / "manifest.json")
    if manifest and manifest["data_version"] == champion["data_version"]:
        return Artifact(newest.key, champion["recipe"], folder, manifest)
    warnings.warn(f"{'/'.join(newest.key)}: the files of the champion are gone; the newest model "
                  "is asked, which was found to be worse", stacklevel=2)
    return newest


class Champions:
    """The champions of one profile in one home."""

    def __init__(self, home: Path, profile: str):
        self.home, self.profile = Path(home), profile
        self.store = open_store(self.home)
        self.path = self.home / "champions" / f"{profile}.json"

    def read(self) -> dict[str, dict[str, Any]]:
        """The records by asset; a broken file is a warning and none."""
        try:
            return json.loads(self.path.read_text())
        except FileNotFoundError:
            return {}
        except ValueError:
            warnings.warn(f"{self.path} is broken and is written anew: what was champion is "
                          "forgotten", stacklevel=2)
            return {}

    def write(self, records: Mapping[str, Mapping[str, Any]]) -> None:
        """Replace the file."""
        write_record(self.home, self.path, records)

    def candidates(self, inputs: Mapping[str, Artifact]) -> dict[str, Candidate]:
        """The models behind a report, by asset; those whose latest training has not been measured
        on all their tasks are left out.

        Args:
            inputs: of the report, by name.
        """
        found: dict[str, Candidate] = {}
        behind: set[str] = set()
        for metrics in (a for a in inputs.values() if a.key[0] in ASKING):
            source = inputs.get(f"source__{metrics.key[1]}")
            for artifact, version in self._asked(metrics, inputs):
                name = "/".join(artifact.key)
                if artifact.data_version != version or source is None or (
                        metrics.manifest["inputs"]["source"] != source.data_version):
                    behind.add(name)
                    continue
                candidate = found.setdefault(name, Candidate(artifact))
                candidate.measured |= _measured(artifact, metrics, source)
        return {name: one for name, one in found.items() if name not in behind}

    def _asked(self, metrics: Artifact,
               inputs: Mapping[str, Artifact]) -> Iterator[tuple[Artifact, str]]:
        """The latest trainings that a stage depends on, and the data versions that it saw."""
        database, task = metrics.key[1:]
        for name, version in metrics.manifest["inputs"].items():
            stage, *more = name.split("__")
            if stage in MODELS:
                key = (stage, database) if stage == "own_past_weights" else (stage, *more)
                if artifact := self._latest(key):
                    yield artifact, version
        kept = inputs.get(f"adapted_model__{database}__{task}")
        if metrics.key[0] == "rowgraph_metrics" and kept is not None:
            current = kept.manifest["inputs"]["rowgraph_metrics"] == metrics.data_version
            yield kept, kept.data_version if current else ""

    def _latest(self, key: Key) -> Artifact | None:
        handle = read_handle(self.home, self.profile, key)
        return self.store.usable(key, handle["recipe"]) if handle else None

    def judge(self, candidates: Mapping[str, Candidate], versions: Mapping[str, str],
              evaluation: Mapping[str, Any]) -> tuple[dict[str, dict[str, Any]], list[str]]:
        """Decide about every training that was not judged yet.

        Args:
            versions: in the registry, by asset.
            evaluation: settings of the resamples.

        Returns:
            The records as they are to be kept, of these models alone, and the names of those that
            were compared with a champion just now.
        """
        known, records, compared = self.read(), dict[str, dict[str, Any]](), []
        for name, candidate in candidates.items():
            new = candidate.facts(versions.get(name))
            record = known.get(name)
            if record is None:
                record = {"champion": new, "judged": [new["training"]], "decision": _decision(
                    new, None, True, "nothing to compare with: it is the first that was measured "
                    "under this profile")}
            elif new["training"] not in record["judged"]:
                compared.append(name)
                decision = self._decide(record, new, evaluation)
                record = {"champion": new if decision["decision"] == CROWNED else
                          record["champion"], "judged": [*record["judged"], new["training"]],
                          "decision": decision}
            if record["champion"]["training"] == new["training"]:
                record["champion"] = new
            elif record["champion"]["data_version"] == new["data_version"]:
                record["champion"] |= {"measured": new["measured"]}
            records[name] = {**record, "latest": new}
        return records, compared

    def _decide(self, record: Mapping[str, Any], new: Mapping[str, Any],
                evaluation: Mapping[str, Any]) -> dict[str, Any]:
        from rowgraph.evaluation.retraining import compare_trainings, reason_of
        from rowgraph.evaluation.settings import EvaluationSettings

        champion, latest = record["champion"], record["latest"]
        unchanged = new["recipe"] in (champion["recipe"], latest["recipe"])
        said = "trained again on unchanged data with unchanged settings: " if unchanged else ""
        if new["data_version"] == champion["data_version"]:
            said = said or "data or settings changed, which changed nothing of the model: "
            return _decision(new, champion, False, f"{said}the same bytes as the champion",
                             unchanged)
        frame = compare_trainings(self._folders(champion), self._folders(new),
                                  EvaluationSettings.model_validate(evaluation))
        moves, reason = reason_of(frame)
        return _decision(new, champion, moves, said + reason, unchanged, frame.to_dicts())

    def _folders(self, facts: Mapping[str, Any]) -> dict[str, Any]:
        from rowgraph.evaluation.retraining import Measured

        return {question: Measured(m["task"], m["variant"],
                                   *(self._folder(tuple(m[of][0]), m[of][1])
                                     for of in ("source", "predictions")))
                for question, m in facts["measured"].items()}

    def _folder(self, key: Key, recipe: str) -> Path:
        found = self.store.usable(key, recipe)
        return found.folder if found else self.store.folder(key, recipe)


def _measured(artifact: Artifact, metrics: Artifact, source: Artifact) -> dict[str, dict[str, Any]]:
    from rowgraph.evaluation.retraining import judged_by

    variant = judged_by(artifact.key[0], metrics.manifest["settings"])
    if variant is None or "predictions.parquet" not in metrics.manifest["files"]:
        return {}
    return {"/".join(metrics.key[1:]): {
        "task": metrics.key[2], "variant": variant,
        "source": [list(source.key), source.recipe],
        "predictions": [list(metrics.key), metrics.recipe]}}


def _decision(new: Mapping[str, Any], champion: Mapping[str, Any] | None, moves: bool, reason: str,
              unchanged: bool = False, rows: list[dict[str, Any]] | None = None) -> dict[str, Any]:
    return {"decision": CROWNED if moves else STAYS, "reason": reason, "unchanged": unchanged,
            "training": new["training"], "recipe": new["recipe"], "version": new["version"],
            "against": champion and champion["version"],
            "date": dt.datetime.now(dt.UTC).date().isoformat(), "rows": rows or []}
