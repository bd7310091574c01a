"""The artifact store and the handles that assets pass to each other.

A handle is a small JSON file (key, recipe, data version): no object of ours is ever pickled.
Handles are kept per profile, so that two profiles in one home never read each other's.
"""

import json
import re
from pathlib import Path

import dagster as dg

from rowgraph.artifacts import Artifact, ArtifactError, ArtifactStore, Key
from rowgraph.shared_store import open_store, pull, write_record

VERIFIED = 1 << 30  # bytes of an artifact that are read through before it is used: a second


class StoreResource(dg.ConfigurableResource):
    """Where artifacts lie, and for which profile handles are written."""

    home: str
    profile: str

    def open(self) -> ArtifactStore:
        """The store below `home`, and what that is shared by."""
        return open_store(Path(self.home))

    def facts(self) -> list[dict]:
        """What the profile's latest artifacts cost and where they come from, by asset: `asset`,
        `stage`, `seconds`, `peak_mib` (None where not recorded), `recipe`, `data_version`,
        `settings` and `inputs`. Artifacts that are gone are left out."""
        found = []
        for path in sorted((Path(self.home) / "handles" / self.profile).glob("*.json")):
            handle = _handle(path)
            artifact = handle and self.open().usable(tuple(handle["key"]), handle["recipe"])
            if artifact:
                manifest, origin = artifact.manifest, artifact.manifest["origin"]
                found.append({
                    "asset": "/".join(artifact.key), "stage": artifact.key[0],
                    "seconds": origin.get("seconds"), "peak_mib": origin.get("peak_mib"),
                    "recipe": artifact.recipe, "data_version": artifact.data_version,
                    "settings": manifest["settings"], "inputs": manifest["inputs"]})
        return found


def handle_path(home: Path, profile: str, key: Key) -> Path:
    """The file that names the latest artifact of an asset under a profile."""
    return home / "handles" / profile / ("__".join(key) + ".json")


def read_handle(home: Path, profile: str, key: Key) -> dict | None:
    """The latest handle of an asset, or None."""
    found = _handle(handle_path(home, profile, key))
    return found if found and found["key"] == list(key) else None


def _handle(path: Path) -> dict | None:
    """What a handle says; a broken one is a missing one: it is written anew in seconds."""
    try:
        found = json.loads(path.read_text())
        sound = all(re.fullmatch(r"\w+", word) for word in (*found["key"], found["recipe"]))
    except (OSError, ValueError, RecursionError, KeyError, TypeError):
        return None
    return found if sound and isinstance(found["key"], list) else None


class HandleIOManager(dg.ConfigurableIOManager):
    """Writes and reads handles as JSON."""

    home: str
    profile: str

    def setup_for_execution(self, context: dg.InitResourceContext) -> None:
        """Learn what other machines have made, where the home is shared."""
        pull(Path(self.home), self.profile)

    def handle_output(self, context: dg.OutputContext, obj: Artifact) -> None:
        """Record the artifact as the asset's latest."""
        path = handle_path(Path(self.home), self.profile, tuple(context.asset_key.path))
        write_record(Path(self.home), path, {"key": list(obj.key), "recipe": obj.recipe,
                                             "data_version": obj.data_version})

    def load_input(self, context: dg.InputContext) -> Artifact:
        """The upstream's latest artifact, checked against its manifest."""
        key = tuple(context.asset_key.path)
        handle = read_handle(Path(self.home), self.profile, key)
        artifact = handle and open_store(Path(self.home)).find(key, handle["recipe"])
        if not artifact:
            raise ArtifactError(f"{'/'.join(key)} has no finished artifact for the profile "
                                f"'{self.profile}'; materialize it first: `rowgraph run --profile "
                                f"{self.profile} --select {'/'.join(key)}`")
        if artifact.size <= VERIFIED:
            artifact.verify()
        return artifact
