"""Kumo Relational: in-context prediction with pre-trained weights, which are not ours to ship.

A figure exists only with the published weights. They come from the hub or from a folder; where
neither has them the answer is the reason (docs/decisions/peers.md).
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch

from rowgraph.baselines.peers.answers import Answers, load_arrays, none_of, save_arrays
from rowgraph.baselines.peers.settings import PeerMetricsSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.progress import Log
from rowgraph.randomness import stable_seed, torch_generator
from rowgraph.tasks.label_tables import LabelTable, Task
from rowgraph.tasks.predictions import Run
from rowgraph.tasks.regimes import visible_before

if TYPE_CHECKING:
    from sdm.models import KumoRelational

    from rowgraph.baselines.peers.kumo_tables import KumoRows

VARIANT = "kumo_relational"
FILES = {"classification": "classifier.pt", "regression": "regressor.pt"}
REACH = 5.0  # seconds until the hub counts as out of reach
MEDIAN = "q500"  # of the 999 quantiles, what minimises the absolute error


def run_kumo(task: Task, graph: EntityGraph, settings: PeerMetricsSettings, state: Path, *,
             device: str | torch.device, log: Log) -> Answers:
    """Predict in context, with published weights or not at all.

    Args:
        task: of any kind but recommendation.
        graph: of its database.
        state: a folder; finished predictions lie there and are not made again.
        log: called after each seed.

    Raises:
        ValueError: a file of weights is not of this model.
    """
    path = weights_path(settings.kumo_weights, FILES[_question(task)])
    if path is None:
        return none_of(settings.regimes, (
            f"weights not available: {FILES[_question(task)]} is neither in the folder nor on a "
            "hub within reach that peer_metrics.kumo_weights names"))
    from rowgraph.baselines.peers.kumo_tables import KumoRows

    model = load_model(path, task, device)
    rows = KumoRows(task, graph, settings.kumo_fan_out)
    answers = Answers(facts={"weights": settings.kumo_weights})
    for step, seed in enumerate(settings.seeds):
        at = state / f"kumo-{seed}"
        if (found := load_arrays(at)) is None:
            found = predict_task(model, rows, settings, seed)
            save_arrays(at, found)
        for name, values in found.items():
            regime, split = name.split("/")
            answers.predictions.setdefault(Run(regime, VARIANT, seed), {})[split] = values
        log(step, {f"{VARIANT}/seeds": step + 1.0})
    return answers


def predict_task(model: KumoRelational, rows: KumoRows, settings: PeerMetricsSettings,
                 seed: int) -> dict[str, np.ndarray]:
    """Validation from training rows, test from all that `final_fit` allows.

    Args:
        seed: of neighbours and of the library's own draws.

    Returns:
        By "<regime>/<split>", as `rowgraph.tasks.kinds` says.
    """
    task, found = rows.task, {}
    for split in ("val", "test"):
        fitted = task.train if split == "val" or settings.final_fit == "train" else task.known
        asked = {r: (task.labels(split), visible_before(task.labels(split).times, r, split,
                                                        task.database))
                 for r in settings.regimes}
        answers = predict_in_context(model, rows, fitted.newest(settings.kumo_context), asked,
                                     settings, seed)
        found |= {f"{regime}/{split}": values for regime, values in answers.items()}
    return found


def predict_in_context(model: KumoRelational, rows: KumoRows, context: LabelTable,
                       asked: dict[str, tuple[LabelTable, np.ndarray]],
                       settings: PeerMetricsSettings, seed: int) -> dict[str, np.ndarray]:
    """Show label rows with their answers once, and ask about others.

    Args:
        context: label rows, shown at their own times.
        asked: by name, label rows and their effective seed times.
    """
    task = rows.task
    purpose = ("peer_metrics", VARIANT, task.database.name, task.name, seed)
    draw = stable_seed(*purpose, "neighbours")
    generator = torch_generator(*purpose, "model")
    device = next(model.parameters()).device
    if device.type != "cpu":
        generator = torch.Generator(device).manual_seed(stable_seed(*purpose, "model"))
    table, related = rows.shown(context, context.times, draw)
    model.fit(table.to(device), rows.target(context).to(device), related.to(device),
              num_estimators=settings.kumo_estimators, generator=generator,
              num_hops=len(settings.kumo_fan_out))
    found = {}
    for name, (labels, before) in asked.items():
        pieces = []
        for start in range(0, len(labels), settings.batch):
            at = np.arange(start, min(start + settings.batch, len(labels)))
            table, related = rows.shown(labels.take(at), before[at], draw)
            out = model.predict(table.to(device), related.to(device))
            pieces.append(_prediction(task, out.columns["numerical"], out.numerical))
        found[name] = np.concatenate(pieces)
    model.clear()
    return found


def weights_path(where: str, file: str) -> Path | None:
    """The file of weights, or None where neither a folder nor the hub has it.

    Args:
        where: a folder, or `name[@revision]` of a repository on the hub.
    """
    if Path(where).expanduser().is_dir():
        path = Path(where).expanduser() / file
        return path if path.is_file() else None
    from huggingface_hub import constants, get_session, hf_hub_download
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        LocalEntryNotFoundError,
    )

    name, _, revision = where.partition("@")

    def file_of(local: bool) -> Path:
        return Path(hf_hub_download(name, file, revision=revision or None,
                                    local_files_only=local))

    try:
        return file_of(local=True)
    except LocalEntryNotFoundError:
        pass
    except HFValidationError:
        return None
    try:  # a download would try for half a minute
        get_session().head(constants.ENDPOINT, timeout=REACH)
    except Exception:  # whatever the hub's client raises, and its offline mode
        return None
    try:
        return file_of(local=False)
    except (LocalEntryNotFoundError, HfHubHTTPError):
        return None


def load_model(path: Path, task: Task, device: str | torch.device) -> KumoRelational:
    """The model of a task's kind with the weights of a file, all of them.

    Raises:
        ValueError: the file does not hold this model's weights.
    """
    from sdm.models import KumoRelational

    model = KumoRelational(task=_question(task), pretrained=False)
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        model.models[_question(task)].load_state_dict(state, strict=True)
    except Exception as error:
        raise ValueError(f"{path}: expected the weights of Kumo Relational ({_question(task)}), "
                         f"found something else ({str(error).splitlines()[0][:200]}); download "
                         "the file again or correct peer_metrics.kumo_weights") from error
    return model.to(device).eval()


def _question(task: Task) -> str:
    return "regression" if task.task_type == "regression" else "classification"


def _prediction(task: Task, names: tuple[str, ...], values: torch.Tensor) -> np.ndarray:
    """As `rowgraph.tasks.kinds` says; a class that no context row had is given nothing."""
    array = values.double().cpu().numpy()
    if task.task_type == "regression":
        return array[..., names.index(MEDIAN)].reshape(-1)
    array = array.reshape(-1, len(names))
    by_class = np.zeros((len(array), 2 if task.binary else len(task.classes)))
    by_class[:, [int(name) for name in names]] = array
    return by_class[:, 1] if task.binary else by_class
