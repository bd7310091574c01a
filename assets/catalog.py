"""Which assets a profile has, from which they are made, and under which settings.

A plain description without Dagster in it: the asset definitions, the code versions and the plan
are all read off this one list. Held-out databases cannot reach the corpus or SAGE because only
`Profile.by_role("pretrain")` is asked for them here.
"""

from dataclasses import dataclass, field
from typing import Any

from rowgraph.artifacts import Key
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.profiles import Profile
from rowgraph.randomness import digest
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.settings import Section

# Raised by hand when the code of a stage changes its result for equal settings and inputs by more
# than the last bits of its sums.
REVISIONS = {
    "source": 3,
    "sampled_rows": 2,
    "linearized_corpus": 1,
    "bart_checkpoint": 1,
    "node_embeddings": 2,
    "entity_graph": 1,
    "sage_weights": 2,
    "sage_sweep": 1,
    "cell_store": 1,
    "forecast_weights": 2,
    "own_past_weights": 1,
    "rowgraph_metrics": 3,
    "window_features": 1,
    "downstream_metrics": 4,
    "baseline_metrics": 2,
    "peer_metrics": 2,
    "evaluation": 1,
    "transfer_metrics": 1,
    "imputation_metrics": 1,
    "adapted_model": 2,
    "predictions": 1,
    "row_map": 1,
    "report": 4,
}


@dataclass(frozen=True)
class AssetNode:
    """One asset: its key, its settings and the upstream key behind each input name."""

    key: Key
    section: Section
    inputs: dict[str, Key] = field(default_factory=dict)
    database: DatabaseSettings | None = None
    task: str | None = None

    @property
    def stage(self) -> str:
        """The first part of the key, which is also the asset's group."""
        return self.key[0]

    @property
    def revision(self) -> int:
        """Of the stage's code."""
        return REVISIONS[self.stage]

    @property
    def name(self) -> str:
        """The key as people write it: `stage/database/task`."""
        return "/".join(self.key)


def part(name: str) -> str:
    """A database or task name as a part of a key."""
    return name.replace("-", "_")


def catalog(profile: Profile) -> dict[Key, AssetNode]:
    """Every asset of a profile, upstream before downstream.

    Examples:
        >>> from assets.catalog import catalog
        >>> from rowgraph.profiles import load_profile
        >>> nodes = catalog(load_profile("demo"))
        >>> list(nodes[("linearized_corpus",)].inputs)
        ['sampled_rows__rel_flights', 'sampled_rows__rel_grocery', 'sampled_rows__rel_survivor']
    """
    nodes = _Nodes(profile)
    papers = profile.with_papers_models
    heldout = profile.by_role("heldout")
    for d in profile.databases:
        nodes.add(("source", part(d.name)), d, {}, database=d)
    for d in profile.databases:
        nodes.add(("entity_graph", part(d.name)), profile.entity_graph, nodes.source(d),
                  database=d)
    shown = _papers_stages(nodes) if papers else {}
    for d in profile.databases:
        nodes.add(("cell_store", part(d.name)), profile.cell_store, nodes.source(d), database=d)
    pretrain = profile.by_role("pretrain")
    if profile.with_other_databases:
        nodes.add(("forecast_weights",), profile.forecast_weights, {
            **nodes.each("source", pretrain), **nodes.each("entity_graph", pretrain),
            **nodes.each("cell_store", pretrain)})
    continued = profile.own_past_weights.start == "forecast_weights"
    start = {"forecast_weights": ("forecast_weights",)} if continued else {}
    for d in heldout:
        nodes.add(("own_past_weights", part(d.name)), profile.own_past_weights.of_tasks(d.tasks),
                  {**nodes.read(d), **start}, database=d)
        for task in d.tasks:
            shown |= _task(nodes, d, task)
    nodes.add(("report",), profile.report, {
        **shown, **nodes.each("entity_graph", profile.databases), **nodes.each("source", heldout)})
    return nodes.found


class _Nodes:
    """The nodes found so far, and how others name them as inputs."""

    def __init__(self, profile: Profile):
        self.profile = profile
        self.found: dict[Key, AssetNode] = {}

    def add(self, key: Key, section: Section, inputs: dict[str, Key], **facts: Any) -> None:
        self.found[key] = AssetNode(key, section, inputs, **facts)

    @staticmethod
    def each(stage: str, databases: tuple[DatabaseSettings, ...], *more: str) -> dict[str, Key]:
        """That stage of some databases, by `<stage>__<database>`."""
        return {"__".join((stage, part(d.name))): (stage, part(d.name), *more) for d in databases}

    @staticmethod
    def source(database: DatabaseSettings) -> dict[str, Key]:
        return {"source": ("source", part(database.name))}

    @staticmethod
    def read(database: DatabaseSettings) -> dict[str, Key]:
        """All that the row-and-graph encoder reads of a database."""
        return {stage: (stage, part(database.name)) for stage in (
            "source", "entity_graph", "cell_store")}


def _papers_stages(nodes: _Nodes) -> dict[str, Key]:
    """What the paper's models are made of; returns what the report shows of it, by input name."""
    profile, pretrain = nodes.profile, nodes.profile.by_role("pretrain")
    for d in pretrain:
        nodes.add(("sampled_rows", part(d.name)), profile.sampled_rows,
                  nodes.each("source", pretrain), database=d)
    nodes.add(("linearized_corpus",), profile.linearized_corpus,
              nodes.each("sampled_rows", pretrain))
    for seed in profile.bart_checkpoint.all_seeds:
        _language_model(nodes, seed)
    for d in profile.databases:
        corpus = {"linearized_corpus": ("linearized_corpus",)} if d in pretrain else {}
        nodes.add(("imputation_metrics", part(d.name)), profile.imputation_metrics,
                  {**nodes.source(d), **corpus, "bart_checkpoint": ("bart_checkpoint",)},
                  database=d)
    for name in profile.sage_sweep:
        _pretraining(nodes, ("sage_sweep", name), profile.swept(name))
    for d in profile.by_role("heldout"):
        nodes.add(("row_map", part(d.name)), profile.row_map, {
            "entity_graph": ("entity_graph", part(d.name)),
            "node_embeddings": ("node_embeddings", part(d.name)),
            "sage_weights": ("sage_weights",)}, database=d)
    return {**nodes.each("row_map", profile.by_role("heldout")),
            **nodes.each("imputation_metrics", profile.databases),
            "bart_checkpoint": ("bart_checkpoint",), **_trained(profile)}


def _of_seed(profile: Profile, seed: int) -> tuple[str, ...]:
    """What the keys of a further language model and of all that is made with it end with."""
    return () if seed == profile.bart_checkpoint.all_seeds[0] else (f"seed_{seed}",)


def _language_model(nodes: _Nodes, seed: int) -> None:
    """The checkpoint of one seed, every database's vectors, and SAGE pre-trained on them."""
    profile, more = nodes.profile, _of_seed(nodes.profile, seed)
    checkpoint = ("bart_checkpoint", *more)
    nodes.add(checkpoint, profile.bart_checkpoint.of_seed(seed),
              {"linearized_corpus": ("linearized_corpus",)})
    for d in profile.databases:
        nodes.add(("node_embeddings", part(d.name), *more), profile.node_embeddings,
                  {**nodes.source(d), "bart_checkpoint": checkpoint}, database=d)
    _pretraining(nodes, ("sage_weights", *more), profile.sage_weights, more)


def _pretraining(nodes: _Nodes, key: Key, section: SageWeightsSettings,
                 more: tuple[str, ...] = ()) -> None:
    pretrain = nodes.profile.by_role("pretrain")
    texts = {**nodes.each("source", pretrain), "bart_checkpoint": ("bart_checkpoint", *more)}
    nodes.add(key, section, {**nodes.each("entity_graph", pretrain),
                             **nodes.each("node_embeddings", pretrain, *more),
                             **(texts if section.objective == "cells" else {})})


def _trained(profile: Profile) -> dict[str, Key]:
    return {"sage_weights": ("sage_weights",),
            **{f"sage_sweep__{name}": ("sage_sweep", name) for name in profile.sage_sweep}}


def _task(nodes: _Nodes, d: DatabaseSettings, task: str) -> dict[str, Key]:
    """Everything about one task; returns what the report shows of it, by input name."""
    profile, where = nodes.profile, (part(d.name), part(task))
    facts = {"database": d, "task": task}

    def add(stage: str, inputs: dict[str, Key]) -> None:
        nodes.add((stage, *where), profile.of_task(stage, d.name, task), inputs, **facts)

    source, graph = nodes.source(d), {"entity_graph": ("entity_graph", part(d.name))}
    add("window_features", source)
    add("baseline_metrics", {**source, "window_features": ("window_features", *where)})
    add("rowgraph_metrics", {**nodes.read(d), "window_features": ("window_features", *where),
                             "own_past_weights": ("own_past_weights", part(d.name)),
                             **({"forecast_weights": ("forecast_weights",)}
                                if profile.with_other_databases else {})})
    if profile.of_task("adapted_model", d.name, task).fit:
        add("adapted_model", {**nodes.read(d), "window_features": ("window_features", *where),
                              "own_past_weights": ("own_past_weights", part(d.name)),
                              "rowgraph_metrics": ("rowgraph_metrics", *where)})
        add("predictions", {**nodes.read(d), "adapted_model": ("adapted_model", *where)})
    measured = ["rowgraph_metrics", "baseline_metrics"]
    if profile.of_task("downstream_metrics", d.name, task).variants:
        add("downstream_metrics", {**source, **graph, **_models(profile, d)})
        measured.insert(1, "downstream_metrics")
    if profile.of_task("peer_metrics", d.name, task).peers:
        add("peer_metrics", {**source, **graph})
        measured.append("peer_metrics")
    add("evaluation", {**source, **{stage: (stage, *where) for stage in measured}})
    transfer = profile.of_task("transfer_metrics", d.name, task)
    if transfer.shares:
        named = transfer.pretrainings
        compared = {n: k for n, k in _trained(profile).items() if not named or k[-1] in named}
        add("transfer_metrics", {**source, **graph, **compared,
                                 "node_embeddings": ("node_embeddings", part(d.name))})
    stages = [*measured, "evaluation", "transfer_metrics", "adapted_model", "predictions"]
    return {"__".join((stage, *where)): (stage, *where) for stage in stages
            if (stage, *where) in nodes.found}


def _models(profile: Profile, d: DatabaseSettings) -> dict[str, Key]:
    """Every language model with the database's vectors and the SAGE that goes with it."""
    models: dict[str, Key] = {}
    for seed in profile.bart_checkpoint.all_seeds:
        more = _of_seed(profile, seed)
        for stage, key in (("bart_checkpoint", ("bart_checkpoint", *more)),
                           ("node_embeddings", ("node_embeddings", part(d.name), *more)),
                           ("sage_weights", ("sage_weights", *more))):
            models["__".join((stage, *more))] = key
    return models


def code_versions(nodes: dict[Key, AssetNode]) -> dict[Key, str]:
    """Cumulative code versions: a changed setting shows on its asset and on all downstream.

    Dagster compares only an asset's own code version with its latest materialization and looks one
    hop upstream, so the upstream versions are part of each digest.
    """
    versions: dict[Key, str] = {}
    for key, node in nodes.items():
        upstream = {name: versions[up] for name, up in node.inputs.items()}
        versions[key] = digest(node.stage, node.revision, node.section.effective(), upstream)[:16]
    return versions
