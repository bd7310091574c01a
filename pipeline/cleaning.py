"""`rowgraph gc`: what of a home may be deleted, and deletes it."""

import fcntl
import json
from collections import Counter
from pathlib import Path
from typing import Any

import typer

from pipeline.environment import Environment
from pipeline.janitor import settle
from pipeline.printing import print_table
from resources.champions import needed as compared_by
from resources.tracking import TrackingResource
from rowgraph.artifacts import ArtifactError, ArtifactStore
from rowgraph.remote import Remote
from rowgraph.retention import Stored, ancestors, kept, stored
from rowgraph.shared_store import pull, shared_url


def clean(environment: Environment, newest: int, delete: bool) -> None:
    """Show what is kept and why, and delete the rest if asked.

    Kept is the latest of every asset under every profile of the home and all that it was made
    from, models that MLflow gives an alias or serves, lists of predictions, and the newest ones.

    Args:
        newest: so many of each asset are kept in any case.
        delete: not only show it.

    Raises:
        ArtifactError: a run is in progress, MLflow cannot be asked, or a handle is broken.
    """
    pull(environment.home)  # what any profile of another machine calls its latest
    if url := shared_url(environment.home):
        typer.echo(f"This is about the files of this machine; {Remote(url).url} keeps all of its.")
    store = ArtifactStore(environment.home)
    found = stored(store)
    if not found:
        typer.echo(f"Nothing to delete: {environment.home} holds no artifacts.")
        return
    running = in_progress(environment, found)  # first: what ends now has written its handle
    reasons = kept(found, newest, needed(environment, found))
    doomed = [one for one in found if one.folder not in reasons]
    print_table(f"Artifacts of {environment.home}",
                ("asset", "artifacts", "MiB", "to delete", "MiB to delete", "kept"),
                _rows(found, reasons), ("artifacts", "MiB", "to delete", "MiB to delete"))
    total = sum(one.bytes for one in doomed)
    said = f"{len(doomed)} of {len(found)} artifacts and drafts, {_mib(total)} MiB"
    if not delete:
        typer.echo(f"Can be deleted: {said}."
                   + (" `rowgraph gc --yes` deletes them." if doomed else ""))
    if running:
        message = (f"{', '.join(running)} is in progress, and nothing is deleted beside it; wait "
                   "for it or stop it")
        if delete:
            raise ArtifactError(message)
        typer.secho(message, fg="yellow", err=True)
    elif delete:
        for one in doomed:
            store.delete(one.key, one.folder)
        typer.echo(f"Deleted: {said}.")


def needed(environment: Environment, found: list[Stored]) -> dict[Path, str]:
    """What must stay whatever its age, and why.

    Raises:
        ArtifactError: MLflow cannot be asked, or a handle is broken.
    """
    latest = _latest(environment.home)
    return {**ancestors(found, latest), **_compared(environment.home),
            **_registered(environment, found), **latest}


def in_progress(environment: Environment, found: list[Stored]) -> list[str]:
    """Who may be using artifacts now: Dagster's runs, and whoever holds an artifact's lock."""
    with environment.instance() as instance:
        running = settle(instance)
    held = sorted({"/".join(one.key) for one in found
                   if one.kind in ("draft", "arriving") and _locked(one)})
    return [*running, *(f"{name} (held by a process)" for name in held)]


def _locked(one: Stored) -> bool:
    path = one.folder.with_suffix(".lock")
    if not path.exists():
        return False
    with open(path, "r+") as handle:  # as some network file systems want it
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _latest(home: Path) -> dict[Path, str]:
    store, found = ArtifactStore(home), {}
    for path in sorted((home / "handles").glob("*/*.json")):
        try:
            handle = json.loads(path.read_text())
            folder = store.folder(tuple(handle["key"]), handle["recipe"])
        except (ValueError, KeyError, TypeError):
            raise ArtifactError(f"{path} is broken, so what it names is not known; `rowgraph run` "
                                f"with the profile '{path.parent.name}' writes it anew, or delete "
                                "it") from None
        found[folder] = f"latest of {path.parent.name}"
    return found


def _registered(environment: Environment, found: list[Stored]) -> dict[Path, str]:
    """What model versions with an alias, as `champion`, are of."""
    uri = environment.tracking_uri
    if uri is None and not (environment.home / "mlflow" / "mlflow.db").exists():
        return {}
    from mlflow.exceptions import MlflowException

    used = {}
    try:
        client = TrackingResource(home=str(environment.home), uri=uri, strict=True).client()
        for model in client.search_registered_models(max_results=1000):
            for alias, version in model.aliases.items():
                tags = client.get_model_version(model.name, version).tags
                used[tags.get("recipe")] = f"{alias} of {model.name}"
    except (RuntimeError, MlflowException) as error:
        raise ArtifactError(f"{error}; nothing is deleted before MLflow says which models are in "
                            "use") from None
    return {one.folder: used[recipe] for one in found
            if (recipe := one.folder.name.split(".")[0]) in used}


def _compared(home: Path) -> dict[Path, str]:
    """What the next training is compared with."""
    store = ArtifactStore(home)
    return {store.folder(key, recipe): "champions are compared by it"
            for key, recipe in compared_by(home)}


def _rows(found: list[Stored], reasons: dict[Path, str]) -> list[list[str]]:
    rows, by_key = [], {}
    for one in found:
        by_key.setdefault(one.key, []).append(one)
    for key, mine in by_key.items():
        doomed = [one for one in mine if one.folder not in reasons]
        why = Counter(reasons[one.folder] for one in mine if one.folder in reasons)
        rows.append(["/".join(key), str(len(mine)), _mib(sum(one.bytes for one in mine)),
                     str(len(doomed) or ""), _mib(sum(o.bytes for o in doomed)) if doomed else "",
                     "\n".join(f"{count} {reason}" for reason, count in why.items())])
    return rows


def _mib(size: int) -> Any:
    return f"{size / 2**20:,.1f}"
