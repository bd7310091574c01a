"""A profile: one experiment, and its file, a YAML mapping of settings that may extend another."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, Field, ValidationError, model_validator

from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.baselines.peers.settings import PeerMetricsSettings
from rowgraph.baselines.settings import BaselineMetricsSettings
from rowgraph.cells.settings import CellStoreSettings
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.evaluation.settings import EvaluationSettings, TransferMetricsSettings
from rowgraph.features.settings import WindowFeaturesSettings
from rowgraph.forecasting.settings import ForecastWeightsSettings, OwnPastWeightsSettings
from rowgraph.graph.settings import EntityGraphSettings
from rowgraph.imputation.settings import ImputationMetricsSettings
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.profile_problems import problems_of
from rowgraph.profile_rules import OF_TASKS, check_sections
from rowgraph.reports.settings import ReportSettings, RowMapSettings
from rowgraph.rows.settings import LinearizedCorpusSettings, SampledRowsSettings
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.serving.settings import AdaptedModelSettings, PredictionsSettings
from rowgraph.settings import ComputeSettings, RaySettings, Section
from rowgraph.shipped import shipped
from rowgraph.tasks.settings import SplitSettings
from rowgraph.yaml_files import UnreadableYaml, read_yaml

PROFILE_DIR = shipped("profiles")
PUBLISHED_BYTES = 1 << 20  # of a CSV file of figures
HANDED_ON = (*OF_TASKS, "own_past_weights")  # what `splits` is handed on to


class SettingsError(ValueError):
    """A profile that cannot be used; the message names the setting and the next move."""


def _is_owner(text: str) -> str:
    if not re.fullmatch(r"team:.+|[\w.%+-]+@[A-Za-z0-9.-]+\.[A-Za-z]{2,7}", text, re.ASCII):
        raise ValueError("an owner is an e-mail address, or a team as `team:data`")
    return text


def _is_tag(text: str) -> str:
    if not re.fullmatch(r"[\w.-]{1,63}", text, re.ASCII):
        raise ValueError("names and values of tags are up to 63 letters, digits, `_`, `-` and `.`")
    return text


Owner = Annotated[str, AfterValidator(_is_owner)]
Tag = Annotated[str, AfterValidator(_is_tag)]


class Profile(Section):
    """One experiment: its databases and the settings of every stage.

    Examples:
        >>> from rowgraph.profiles import load_profile
        >>> profile = load_profile("demo")
        >>> [d.name for d in profile.by_role("heldout")]
        ['rel-baseball']
        >>> profile.sage_weights.hidden, profile.of_task(
        ...     "evaluation", "rel-baseball", "player-all-star").bootstrap
        (64, 1000)
    """

    name: str
    folders: tuple[str, ...] = ()  # of the profile's file and of those that it extends
    databases: tuple[DatabaseSettings, ...]
    sampled_rows: SampledRowsSettings = SampledRowsSettings()
    linearized_corpus: LinearizedCorpusSettings = LinearizedCorpusSettings()
    bart_checkpoint: BartCheckpointSettings = BartCheckpointSettings()
    node_embeddings: NodeEmbeddingsSettings = NodeEmbeddingsSettings()
    entity_graph: EntityGraphSettings = EntityGraphSettings()
    sage_weights: SageWeightsSettings = SageWeightsSettings()
    # Further pre-trainings: what differs from sage_weights, by name.
    sage_sweep: dict[str, dict[str, Any]] = Field(default_factory=dict)
    splits: SplitSettings = SplitSettings()  # of every stage of a task
    cell_store: CellStoreSettings = CellStoreSettings()
    forecast_weights: ForecastWeightsSettings = ForecastWeightsSettings()
    own_past_weights: OwnPastWeightsSettings = OwnPastWeightsSettings()
    window_features: WindowFeaturesSettings = WindowFeaturesSettings()
    rowgraph_metrics: RowgraphMetricsSettings = RowgraphMetricsSettings()
    downstream_metrics: DownstreamMetricsSettings = DownstreamMetricsSettings()
    baseline_metrics: BaselineMetricsSettings = BaselineMetricsSettings()
    peer_metrics: PeerMetricsSettings = PeerMetricsSettings()
    evaluation: EvaluationSettings = EvaluationSettings()
    transfer_metrics: TransferMetricsSettings = TransferMetricsSettings()
    adapted_model: AdaptedModelSettings = AdaptedModelSettings()
    predictions: PredictionsSettings = PredictionsSettings()
    imputation_metrics: ImputationMetricsSettings = ImputationMetricsSettings()
    row_map: RowMapSettings = RowMapSettings()
    report: ReportSettings = ReportSettings()
    # What differs for one task, by `<database>/<task>` and then by section.
    task_settings: dict[str, dict[str, dict[str, Any]]] = Field(default_factory=dict)
    compute: ComputeSettings = ComputeSettings()
    ray: RaySettings = RaySettings()
    # Who answers for every asset, as Dagster shows it; part of no recipe.
    owners: tuple[Owner, ...] = ()
    # Names and values that the UI filters every asset by; part of no recipe.
    tags: dict[Tag, Tag] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _splits_are_of_every_stage(cls, tree: Any) -> Any:
        """Hand `splits` on to the sections that have such settings."""
        if not isinstance(tree, dict) or not isinstance(splits := tree.get("splits"), dict):
            return tree
        tree = dict(tree)
        for stage in HANDED_ON:
            known = type(cls.model_fields[stage].default).model_fields
            given = {name: value for name, value in splits.items() if name in known}
            if isinstance(section := tree.get(stage, {}), dict):
                tree[stage] = {**given, **section}
        return tree

    @model_validator(mode="after")
    def _sections_agree(self):
        check_sections(self)
        return self

    def of_task(self, stage: str, database: str, task: str) -> Any:
        """The settings of a stage for one task."""
        section = getattr(self, stage)
        changes = self.task_settings.get(f"{database}/{task}", {}).get(stage, {})
        return type(section).model_validate({**section.model_dump(), **changes})

    @property
    def with_papers_models(self) -> bool:
        """Some task asks for a variant of the paper's models."""
        return any(self.of_task("downstream_metrics", d.name, task).variants
                   for d in self.by_role("heldout") for task in d.tasks)

    @property
    def with_other_databases(self) -> bool:
        """Something asks for the row-and-graph encoder that was trained on other databases."""
        wanted = {"pretrained", "zero_shot"}
        return self.own_past_weights.start == "forecast_weights" or any(
            wanted & {*asked.parts, *asked.beside} for asked in (
                self.of_task("rowgraph_metrics", d.name, task)
                for d in self.by_role("heldout") for task in d.tasks))

    def swept(self, name: str) -> SageWeightsSettings:
        """The settings of a pre-training of the sweep: those of `sage_weights` but for its own."""
        return SageWeightsSettings.model_validate(
            {**self.sage_weights.model_dump(), **self.sage_sweep[name]})

    def by_role(self, role: Literal["pretrain", "heldout"]) -> tuple[DatabaseSettings, ...]:
        """The databases of one role; the only place where the role decides."""
        return tuple(d for d in self.databases if d.role == role)


STAGES: dict[str, type[Section]] = {  # the settings section of each stage
    name: type(field.default) for name, field in Profile.model_fields.items()
    if isinstance(field.default, Section) and name not in ("compute", "ray", "splits")}


def profile_names() -> list[str]:
    """The names of the profiles that come with RowGraph."""
    return sorted(p.stem for p in PROFILE_DIR.glob("*.yaml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a profile, following `extends`.

    Args:
        name_or_path: the name of a profile in `profiles/` or the path of a YAML file.

    Raises:
        SettingsError: no such profile, YAML that does not parse, a cycle of `extends`, an unknown
            setting or a value out of range; the message names the setting.
    """
    path = _profile_path(name_or_path)
    tree = _merged(path, ())
    tree["name"] = path.stem
    try:
        return Profile.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(f"profile {path.name}: "
                            + problems_of(error, Profile, HANDED_ON)) from None


def _profile_path(name_or_path: str | Path, beside: Path | None = None) -> Path:
    text = str(name_or_path)
    candidates = [PROFILE_DIR / f"{text}.yaml"]
    if text.endswith((".yaml", ".yml")) or "/" in text:
        candidates = [Path(os.path.expanduser(text))]
    if beside is not None:
        candidates += [beside / text, beside / f"{text}.yaml"]
    for path in candidates:
        if os.path.isfile(path):  # false also where the name is too long for a file
            return path
    for path in filter(os.path.lexists, candidates):
        raise SettingsError(f"profile {path}: expected a YAML file, found a folder, a pipe or a "
                            "link to nothing; pass the path of a YAML file")
    raise SettingsError(
        f"profile '{text[:80]}' does not exist; known profiles: {', '.join(profile_names())}. "
        "Pass one of these names or the path of a YAML file."
    )


def _merged(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path.resolve() in [p.resolve() for p in seen]:
        raise SettingsError(f"profile {path}: `extends` goes in a circle: "
                            f"{' -> '.join(p.stem for p in (*seen, path))}")
    try:
        tree = read_yaml(path) or {}
    except UnreadableYaml as error:
        raise SettingsError(f"profile {path}: not readable as YAML: {error}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"profile {path}: expected a mapping of settings at the top")
    if "folders" in tree:
        raise SettingsError(f"profile {path}: unknown setting `folders`; tasks of your own lie in "
                            "tasks/<database>/<task>/ beside the profile")
    if "name" in tree:
        raise SettingsError(f"profile {path}: unknown setting `name`; a profile is called as its "
                            "file is")
    _read_published(tree, path)
    parent, folder = tree.pop("extends", None), str(path.parent.resolve())
    if parent is None:
        return {**tree, "folders": [folder]}
    if not isinstance(parent, str):
        raise SettingsError(f"profile {path}: `extends` is {str(parent)[:50]!r}, expected the name "
                            "or the path of one profile")
    base = _merged(_profile_path(parent, beside=path.parent), (*seen, path))
    _leave_others_tasks(base, tree)
    return {**_overlay(base, tree), "folders": list(dict.fromkeys([folder, *base["folders"]]))}


def _leave_others_tasks(base: dict[str, Any], tree: dict[str, Any]) -> None:
    """Settings of tasks that a profile's own databases do not have are not inherited."""
    mine, settings = tree.get("databases"), base.get("task_settings")
    if isinstance(mine, list) and isinstance(settings, dict):
        tasks = {f"{d['name']}/{t}" for d in mine if isinstance(d, dict) and "name" in d
                 and isinstance(d.get("tasks"), list) for t in d["tasks"]}
        base["task_settings"] = {t: s for t, s in settings.items() if t in tasks}


def _read_published(tree: dict[str, Any], path: Path) -> None:
    """Put the figures of a CSV file in the place of its name in `report.published`."""
    report = tree.get("report")
    if not isinstance(report, dict) or not isinstance(name := report.get("published"), str):
        return
    file = path.parent / name
    try:
        if not file.is_file():  # a pipe would wait for ever
            raise OSError("it is no regular file" if file.exists() else "there is no such file")
        if file.stat().st_size > PUBLISHED_BYTES:
            raise OSError(f"it has more than {PUBLISHED_BYTES} bytes")
        with open(file, newline="", encoding="utf-8") as handle:
            report["published"] = list(csv.DictReader(handle))
    except (OSError, ValueError, csv.Error) as error:
        raise SettingsError(f"profile {path}: report.published names {file}, which cannot be read "
                            f"({error}); write a CSV file with the columns database, task, regime, "
                            "variant, metric, value, kind, source") from None


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = _overlay(out[key], value)
        else:
            out[key] = value
    return out
