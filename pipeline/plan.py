"""What would run, and why: read off the artifact store, without running or importing a model.

Every asset's recipe follows from its settings and the data versions of its upstreams, so the plan
walks the catalog in order: a finished artifact of the recipe gives the data version that the next
recipe needs; where there is none the asset runs, and so does all that hangs on it.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import typer

from assets.catalog import AssetNode, catalog, part
from pipeline.environment import Environment
from resources.champions import served
from resources.store import read_handle
from rowgraph.artifacts import Artifact, ArtifactError, ArtifactStore, Key, recipe_of
from rowgraph.shared_store import DamagedError, open_store


@dataclass(frozen=True)
class Planned:
    """One asset of the plan.

    Args:
        action: `run` it; `reuse`: it is finished and only has to be recorded as this profile's
            latest; `current`: nothing to do.
        why: for people.
        artifact: the finished artifact, unless it runs.
        folder: for a source, the RelBench 3 folder that it is made from, where there is one.
    """

    node: AssetNode
    action: Literal["run", "reuse", "current"]
    why: str
    artifact: Artifact | None = None
    folder: Path | None = None


def plan(environment: Environment) -> list[Planned]:
    """The plan of a profile, upstream before downstream."""
    store = open_store(environment.home)
    planned: dict[Key, Planned] = {}
    for key, node in catalog(environment.profile).items():
        waiting = [planned[up].node.name for up in node.inputs.values()
                   if planned[up].artifact is None]
        if waiting:
            reasons = [_why_missing(store, node, None), f"upstream runs: {_some(waiting)}"]
            planned[key] = Planned(node, "run", "; ".join(filter(None, reasons)))
            continue
        inputs = {n: planned[up].artifact.data_version for n, up in node.inputs.items()}
        if node.stage == "predictions" and node.section.model == "champion":
            inputs["adapted_model"] = served(
                environment.home, environment.profile.name,
                planned[node.inputs["adapted_model"]].artifact).data_version
        folder = None
        if node.stage == "source":
            inputs["origin"], folder = _origin(environment, store, node)
            if tasks := environment.extra_tasks(node.database.name)[1]:
                inputs["tasks"] = tasks
        recipe = recipe_of(node.stage, node.revision, node.section.effective(), inputs)
        try:
            artifact = store.find(key, recipe)
        except ArtifactError as error:
            planned[key] = Planned(node, "run", f"damaged: {error}", folder=folder)
            continue
        if artifact is None:
            why = _why_missing(store, node, inputs, recipe) or "missing"
            planned[key] = Planned(node, "run", why, folder=folder)
            continue
        handle = read_handle(environment.home, environment.profile.name, key)
        known = handle is not None and handle.get("recipe") == recipe
        planned[key] = Planned(node, "current" if known else "reuse", "finished", artifact)
    return list(planned.values())


def due(environment: Environment, patterns: Iterable[str] | None,
        force: bool) -> tuple[list[Planned], list[Planned], list[Planned]]:
    """What a run has to do, with the files that it starts from in this home.

    What arrives damaged out of a shared store is said and planned to be made again.

    Returns:
        The plan, what the patterns choose of it, and what is to be materialized for that.
    """
    said = set()
    while True:
        planned = plan(environment)
        chosen = select_assets(planned, patterns) if patterns else planned
        todo = with_upstream(planned, [p for p in chosen if force or p.action != "current"])
        made = {p.node.key for p in todo}
        needed = {up for p in todo for up in p.node.inputs.values()} - made
        try:
            for p in planned:
                if p.node.key in needed:
                    _ = p.artifact.folder
        except DamagedError as error:
            if str(error) in said:  # one may read there, but not write
                raise
            said.add(str(error))
            typer.secho(f"{error} (doing so now)", fg="yellow", err=True)
            continue
        return planned, chosen, todo


def select_assets(planned: Iterable[Planned], patterns: Iterable[str]) -> list[Planned]:
    """Those whose name matches a pattern: a stage, `stage/database`, or a glob.

    Raises:
        ValueError: a pattern matches nothing.
    """
    planned, chosen = list(planned), set()
    for pattern in patterns:
        wanted = part(pattern.strip("/"))
        hits = {p.node.key for p in planned
                if fnmatch(p.node.name, wanted) or p.node.name.startswith(wanted + "/")}
        if not hits:
            stages = sorted({p.node.stage for p in planned})
            raise ValueError(f"--select {pattern} matches no asset; stages are "
                             f"{', '.join(stages)}, and `rowgraph plan` lists every name")
        chosen |= hits
    return [p for p in planned if p.node.key in chosen]


def with_upstream(planned: Iterable[Planned], chosen: Iterable[Planned]) -> list[Planned]:
    """The chosen and every ancestor of theirs that is not current, in order."""
    by_key = {p.node.key: p for p in planned}
    wanted: set[Key] = {p.node.key for p in chosen}
    for p in reversed(list(by_key.values())):
        if p.node.key in wanted:
            wanted |= {up for up in p.node.inputs.values() if by_key[up].action != "current"}
    return [p for p in by_key.values() if p.node.key in wanted]


def _origin(environment: Environment, store: ArtifactStore,
            node: AssetNode) -> tuple[str, Path | None]:
    """The fingerprint of a database and, unless it is embedded, the folder that holds it."""
    from rowgraph.databases.resolving import find_here

    found = find_here(node.database.name, folders=environment.databases,
                      entities=node.database.entities)
    if found is not None and found.fingerprint is not None:
        return found.fingerprint, found.folder
    for manifest in store.others(node.key):  # from the hub: what was downloaded last still holds
        if manifest["settings"] == node.section.effective():
            return manifest["inputs"]["origin"], None
    return "not downloaded yet", None


def _why_missing(store: ArtifactStore, node: AssetNode, inputs: dict[str, str] | None,
                 recipe: str | None = None) -> str:
    """The shortest way from a finished artifact to the wanted one; empty if only upstream moves."""
    if recipe and store.folder(node.key, recipe).with_name(recipe + ".draft").exists():
        return "interrupted; continues from its last checkpoint"
    others = store.others(node.key)
    if not others:
        return "missing"
    reasons = [_difference(node, manifest, inputs) for manifest in others]
    return min(reasons, key=len)


def _difference(node: AssetNode, manifest: dict[str, Any], inputs: dict[str, str] | None) -> str:
    """What separates a finished artifact from the wanted one."""
    parts = []
    if manifest["revision"] != node.revision:
        parts.append("code changed")
    new, old = node.section.effective(), manifest["settings"]
    changed = [k for k in {**new, **old} if new.get(k) != old.get(k)]
    if changed:
        parts.append("settings changed: " + ", ".join(
            f"{k} {old.get(k)!r} → {new.get(k)!r}" for k in changed))
    if inputs is not None:
        moved = [k for k in {**inputs, **manifest["inputs"]}
                 if inputs.get(k) != manifest["inputs"].get(k)]
        if moved:
            parts.append("upstream changed: " + _some(moved))
    return "; ".join(parts)


def _some(names: list[str], most: int = 3) -> str:
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return " + ".join(n.replace("__", "/") for n in names[:most]) + more
