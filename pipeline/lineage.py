"""`rowgraph lineage`: from which data, settings, code and runs an asset was made, and what was made
from it. Read off the manifests of finished artifacts alone."""

import difflib
from datetime import UTC, datetime
from typing import Any

from assets.catalog import AssetNode, catalog, part
from assets.tables import figure
from pipeline.environment import Environment
from resources.provenance import code_in_words
from resources.store import read_handle
from rowgraph.artifacts import Artifact, ArtifactError, Key
from rowgraph.evaluation.scores import headlines
from rowgraph.shared_store import open_store


def lineage(environment: Environment, name: str) -> dict[str, Any]:
    """The lineage of an asset's latest artifact, JSON-able.

    Returns:
        `asset`, `profile`, what it is (`_facts`), `upstream`: what it was made from, the nearest
        first, and `downstream`: every finished artifact that was made from it.

    Raises:
        ValueError: the profile has no such asset.
        ArtifactError: it is not made yet, or damaged.
    """
    nodes = catalog(environment.profile)
    node = _named(nodes, name, environment)
    found = _Store(environment, nodes)
    artifact = found.latest(node.key)
    if artifact is None:
        profile = environment.given or environment.profile.name
        raise ArtifactError(f"{node.name} is not made yet for the profile "
                            f"'{environment.profile.name}'; make it with `rowgraph run -p "
                            f"{profile} --select {node.name}`")
    return {"profile": environment.profile.name, **found.facts(artifact),
            "upstream": [found.facts(a) for a in found.upstream(artifact)],
            "downstream": [{**found.facts(a), "latest": found.is_latest(a)}
                           for a in found.downstream(artifact)]}


def _named(nodes: dict[Key, AssetNode], name: str, environment: Environment) -> AssetNode:
    wanted = part(name.strip("/"))
    by_name = {node.name: node for node in nodes.values()}
    if wanted in by_name:
        return by_name[wanted]
    inside = [known for known in by_name if known.startswith(wanted + "/")]
    near = inside or difflib.get_close_matches(wanted, by_name, n=3, cutoff=0.4)
    raise ValueError(
        f"the profile '{environment.profile.name}' has no asset '{name}'"
        + (f"; {'it has' if inside else 'did you mean'} {', '.join(near)}"
           f"{'' if inside else '?'}" if near else "")
        + "; `rowgraph plan --json` lists every name")


class _Store:
    """The finished artifacts of a profile, and how they hang together."""

    def __init__(self, environment: Environment, nodes: dict[Key, AssetNode]):
        self.environment, self.nodes = environment, nodes
        self.store = open_store(environment.home)
        self._finished: dict[Key, list[Artifact]] = {}

    def finished(self, key: Key) -> list[Artifact]:
        if key not in self._finished:
            self._finished[key] = self.store.finished(key)
        return self._finished[key]

    def latest(self, key: Key) -> Artifact | None:
        handle = read_handle(self.environment.home, self.environment.profile.name, key)
        return handle and self.store.find(key, handle["recipe"])

    def is_latest(self, artifact: Artifact) -> bool:
        handle = read_handle(self.environment.home, self.environment.profile.name, artifact.key)
        return handle is not None and handle["recipe"] == artifact.recipe

    def inputs(self, artifact: Artifact) -> dict[str, tuple[Key | None, Artifact | None]]:
        """The upstream key behind each input, None for data that no asset made, and the artifact
        with that data version, None where it is gone."""
        named, found = self.nodes[artifact.key].inputs, {}
        for name, version in artifact.manifest["inputs"].items():
            key = named.get(name)
            same = [a for a in self.finished(key) if a.data_version == version] if key else []
            found[name] = key, next(iter(same), None)
        return found

    def upstream(self, artifact: Artifact) -> list[Artifact]:
        seen, layer = {}, [artifact]
        while layer:
            nearer = [up for a in layer for _, up in self.inputs(a).values() if up]
            layer = [up for up in {a.place: a for a in nearer}.values() if up.place not in seen]
            seen |= {a.place: a for a in layer}
        return list(seen.values())

    def downstream(self, artifact: Artifact) -> list[Artifact]:
        reached, found = {(artifact.key, artifact.data_version)}, []
        for key, node in self.nodes.items():  # upstream before downstream
            for made in self.finished(key):
                if any((up, made.manifest["inputs"].get(name)) in reached
                       for name, up in node.inputs.items()):
                    reached.add((key, made.data_version))
                    found.append(made)
        return found

    def facts(self, artifact: Artifact) -> dict[str, Any]:
        """What is known of an artifact; what older ones did not record is None."""
        manifest, origin = artifact.manifest, artifact.manifest["origin"]
        inputs = {name: {"asset": "/".join(key) if key else None,
                         "data_version": manifest["inputs"][name],
                         "recipe": up and up.recipe}
                  for name, (key, up) in self.inputs(artifact).items()}
        defaults = type(self.nodes[artifact.key].section).model_construct().effective()
        return {
            "asset": "/".join(artifact.key), "data_version": artifact.data_version,
            "recipe": artifact.recipe, "folder": str(artifact.place), "bytes": artifact.size,
            "made_at": origin.get("made_at") or _published(artifact),
            "seconds": origin.get("seconds"), "peak_mib": origin.get("peak_mib"),
            "device": origin.get("device"), "code": origin.get("code"),
            "libraries": manifest["libraries"],
            "dagster_run_id": origin.get("dagster_run_id"),
            "mlflow_run_id": origin.get("mlflow_run_id"),
            "settings": manifest["settings"],
            "settings_changed": {k: {"value": v, "default": defaults[k]} for k, v in
                                 manifest["settings"].items()
                                 if k in defaults and defaults[k] != v},
            "resolved_from": artifact.summary.get("detail"),  # of a source
            "scores": headlines(artifact), "inputs": inputs}


def _published(artifact: Artifact) -> str:
    moment = (artifact.folder / "manifest.json").stat().st_mtime  # of older ones
    return datetime.fromtimestamp(moment, UTC).isoformat(timespec="seconds")


def print_lineage(content: dict[str, Any]) -> None:
    """Facts of the asset, a tree of what it was made from, a table of what was made from it."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    from pipeline.printing import print_table

    console = Console()
    console.print(Text(f"{content['asset']} (profile {content['profile']})", style="bold"))
    facts = Table.grid(padding=(0, 2))
    for label, text in _lines(content):
        facts.add_row(Text(label, style="dim"), Text(text, overflow="fold"))
    console.print(facts)
    known = {made["folder"]: made for made in (content, *content["upstream"])}
    console.print(_tree(content, {(m["asset"], m["data_version"]): m for m in known.values()}))
    if content["downstream"]:
        print_table("Made from it", ("asset", "made (UTC)", "score"), [
            [made["asset"], _moment(made), "\n".join(
                _scores(made) + ([] if made["latest"] else ["not the latest"]))]
            for made in content["downstream"]], numbers=("made (UTC)",))
    else:
        console.print("Nothing was made from it yet.")


def _lines(content: dict[str, Any]) -> list[tuple[str, str]]:
    changed = ", ".join(f"{name} {_short(c['value'])} (default {_short(c['default'])})"
                        for name, c in content["settings_changed"].items())
    code = content["code"] or {}
    python = f"Python {code['python']}, " if code.get("python") else ""
    runs = [f"{who} {content[run]}" for who, run in (
        ("Dagster", "dagster_run_id"), ("MLflow", "mlflow_run_id")) if content[run]]
    cost = [f"{content['seconds']:.1f} s" if content["seconds"] is not None else "",
            f"{content['peak_mib']:,} MiB" if content["peak_mib"] is not None else "",
            f"on {content['device']}" if content["device"] else ""]
    lines = [
        ("data version", f"{content['data_version']}, {content['bytes'] / 2**20:,.2f} MiB"),
        ("artifact", content["folder"]),
        ("settings", changed or "the defaults"),
        ("code", code_in_words(content["code"])),
        ("libraries", python + ", ".join(f"{n} {v}" for n, v in content["libraries"].items())),
        ("run", ", ".join(runs) or "not recorded"),
        ("made", ", ".join(filter(None, [f"{_moment(content)} UTC", *cost])))]
    return lines + [("score", score) for score in _scores(content)]


def _tree(content: dict[str, Any], known: dict[tuple[str, str], dict[str, Any]]) -> Any:
    """What it was made from; what was shown already is named without its own upstream."""
    from rich.text import Text
    from rich.tree import Tree

    shown = set()
    own = (content["code"] or {}).get("commit")

    def grow(tree: Any, made: dict[str, Any]) -> None:
        for name, up in made["inputs"].items():
            line = f"{up['asset'] or name} {up['data_version'][:12]}"
            found = known.get((up["asset"], up["data_version"]))
            if up["asset"] is None:
                where = made["resolved_from"] if name == "origin" else None
                tree.add(Text(f"{line}, {where or 'made by no asset of the profile'}"))
            elif found is None:
                tree.add(Text(f"{line}, deleted since"))
            elif found["folder"] in shown:
                tree.add(Text(f"{line}, see above", style="dim"))
            else:
                shown.add(found["folder"])
                other = (found["code"] or {}).get("commit") != own
                code = f", code {code_in_words(found['code'])}" if other else ""
                grow(tree.add(Text(f"{line}, {_moment(found)}{code}")), found)

    tree = Tree(Text("Made from"))
    grow(tree, content)
    return tree


def _moment(made: dict[str, Any]) -> str:
    return datetime.fromisoformat(made["made_at"]).astimezone(UTC).strftime("%Y-%m-%d %H:%M")


def _scores(made: dict[str, Any]) -> list[str]:
    return [f"{row['metric']} {row['regime']} {figure(row)}, {row['variant']}"
            for row in made["scores"]]


def _short(value: Any, most: int = 60) -> str:
    text = str(value)
    return text if len(text) <= most else f"{text[:most]}…"
