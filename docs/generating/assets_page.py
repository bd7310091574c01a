"""The asset reference, from the catalog and the asset definitions themselves."""

from __future__ import annotations

import tempfile
from pathlib import Path

from assets import build_assets
from assets.building import GPU_POOL
from assets.catalog import catalog
from docs.generating.markdown import table
from rowgraph.profiles import load_profile

# A profile in which every stage has an asset.
EVERYTHING = """
extends: f1
transfer_metrics: {shares: [0.1], fan_out: [12, 4]}
adapted_model: {fit: true}
"""
HEAD = """# Assets

Everything that RowGraph makes is an asset of Dagster: a folder of plain files that knows what it
was made from. An asset's key is its stage, then the database, then the task. A profile decides
which there are; the rule is one file, `assets/catalog.py`. Stages that use the device run one at a
time.

`rowgraph run --select STAGE` makes one stage and what it needs;
`rowgraph lineage STAGE/DATABASE` says what it was made from.
"""


def text() -> str:
    """The page."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "everything.yaml"
        path.write_text(EVERYTHING)
        profile = load_profile(path)
    nodes = catalog(profile)
    stages: dict[str, list] = {}
    for node, made in zip(nodes.values(), build_assets(profile), strict=True):
        stages.setdefault(node.stage, []).append((node, made))
    overview = table(("asset", "made from"), [
        (f"[`{key_of(members[0][0])}`](#{stage})", ", ".join(
            f"`{up}`" for up in upstream(members)) or "–") for stage, members in stages.items()])
    return HEAD + "\n" + overview + "".join(_stage(*pair) for pair in stages.items())


def key_of(node) -> str:
    """The form of a key."""
    parts = [node.stage, *(["<database>"] if node.database else []),
             *(["<task>"] if node.task else [])]
    return "/".join(parts) + ("/<name>" if node.stage == "sage_sweep" else "")


def upstream(members: list) -> list[str]:
    """Stages that these are made from, in the order of the catalog."""
    return list(dict.fromkeys(up[0] for node, _ in members for up in node.inputs.values()))


def _stage(stage: str, members: list) -> str:
    node, made = members[0]
    spec = next(iter(made.specs))
    facts = [f"Key: `{key_of(node)}`", "Settings: " + (
        f"[`{stage}`](settings.md#{stage})" if stage not in ("source", "sage_sweep") else
        "[`databases`](settings.md#databases)" if stage == "source" else
        "those of [`sage_weights`](settings.md#sage_weights)")]
    if made.op.pool == GPU_POOL:
        facts.append("Uses the device")
    checks = {check.name: check.description or "" for _, one in members
              for check in one.check_specs}
    out = f"\n## `{stage}` {{ #{stage} }}\n\n{spec.description}\n\n" + ". ".join(facts) + ".\n"
    if checks:
        out += "\n" + table(("check", "what it says"), [
            (f"`{name}`", said) for name, said in checks.items()])
    return out
