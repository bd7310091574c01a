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

# Raised by hand when the code of a stage changes its result for equal settings and inputs.
REVISIONS = {
    "source": 1,
    "sampled_rows": 2,
    "linearized_corpus": 1,
    "bart_checkpoint": 1,
    "node_embeddings": 2,
    "entity_graph": 1,
    "sage_weights": 2,
    "sage_sweep": 1,
    "transfer_metrics": 1,
    "downstream_metrics": 2,
    "baseline_metrics": 1,
    "imputation_metrics": 1,
    "report": 1,
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
    """Every asset of a profile, upstream before downstream."""
    pretrain, heldout = profile.by_role("pretrain"), profile.by_role("heldout")
    nodes: dict[Key, AssetNode] = {}

    def add(key: Key, section: Section, inputs: dict[str, Key], **facts: Any) -> None:
        nodes[key] = AssetNode(key, section, inputs, **facts)

    def each(stage: str, databases: tuple[DatabaseSettings, ...]) -> dict[str, Key]:
        return {f"{stage}__{part(d.name)}": (stage, part(d.name)) for d in databases}

    for d in profile.databases:
        add(("source", part(d.name)), d, {}, database=d)
    for d in pretrain:
        add(("sampled_rows", part(d.name)), profile.sampled_rows, each("source", pretrain),
            database=d)
    add(("linearized_corpus",), profile.linearized_corpus, each("sampled_rows", pretrain))
    add(("bart_checkpoint",), profile.bart_checkpoint,
        {"linearized_corpus": ("linearized_corpus",)})
    for d in profile.databases:
        source = {"source": ("source", part(d.name))}
        add(("entity_graph", part(d.name)), profile.entity_graph, source, database=d)
        add(("node_embeddings", part(d.name)), profile.node_embeddings,
            {**source, "bart_checkpoint": ("bart_checkpoint",)}, database=d)
        corpus = {"linearized_corpus": ("linearized_corpus",)} if d in pretrain else {}
        add(("imputation_metrics", part(d.name)), profile.imputation_metrics,
            {**source, **corpus, "bart_checkpoint": ("bart_checkpoint",)}, database=d)
    def pretraining(key: Key, section: SageWeightsSettings) -> None:
        texts = {**each("source", pretrain), "bart_checkpoint": ("bart_checkpoint",)}
        add(key, section, {**each("entity_graph", pretrain), **each("node_embeddings", pretrain),
                           **(texts if section.objective == "cells" else {})})

    pretraining(("sage_weights",), profile.sage_weights)
    trained = {"sage_weights": ("sage_weights",)}
    for name in profile.sage_sweep:
        pretraining(("sage_sweep", name), profile.swept(name))
        trained[f"sage_sweep__{name}"] = ("sage_sweep", name)
    metrics: dict[str, Key] = {}
    for d in heldout:
        source = {"source": ("source", part(d.name))}
        held = {**source, "entity_graph": ("entity_graph", part(d.name)),
                "node_embeddings": ("node_embeddings", part(d.name))}
        for task in d.tasks:
            where = (part(d.name), part(task))
            add(("downstream_metrics", *where), profile.downstream_metrics,
                {**held, "sage_weights": ("sage_weights",)}, database=d, task=task)
            add(("baseline_metrics", *where), profile.baseline_metrics, source, database=d,
                task=task)
            if profile.transfer_metrics.shares:
                compared = {n: key for n, key in trained.items() if key[-1] in (
                    profile.transfer_metrics.pretrainings or [k[-1] for k in trained.values()])}
                add(("transfer_metrics", *where), profile.transfer_metrics, {**held, **compared},
                    database=d, task=task)
            for stage in ("downstream_metrics", "baseline_metrics", "transfer_metrics"):
                if (stage, *where) in nodes:
                    metrics["__".join((stage, *where))] = (stage, *where)
    add(("report",), profile.report,
        {**metrics, **each("imputation_metrics", profile.databases),
         **each("entity_graph", profile.databases),
         "bart_checkpoint": ("bart_checkpoint",), **trained})
    return nodes


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
