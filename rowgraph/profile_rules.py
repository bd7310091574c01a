"""What the sections of a profile have to agree on."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING

from pydantic import ValidationError

if TYPE_CHECKING:
    from rowgraph.profiles import Profile

OF_TASKS = (  # sections of stages once a task
    "window_features", "rowgraph_metrics", "downstream_metrics", "baseline_metrics",
    "peer_metrics", "evaluation", "transfer_metrics", "adapted_model", "predictions")


def check_sections(profile: Profile) -> None:
    """What one section alone cannot say of itself.

    Raises:
        ValueError: two settings do not go together; the message names both and the next move.
    """
    for rule in RULES:
        rule(profile)


def _databases_make_an_experiment(profile: Profile) -> None:
    """Names differ, one is asked about, and one is learnt from where something is pre-trained."""
    names = [d.name for d in profile.databases]
    keys = [n.replace("-", "_") for n in names]
    if len(set(keys)) != len(keys):
        raise ValueError(f"databases: a name is listed twice in {names}")
    if not profile.by_role("heldout"):
        raise ValueError("databases: none has `role: heldout`; a profile asks about at least one")
    learns = profile.with_papers_models or (profile.with_other_databases
                                            and not profile.forecast_weights.synthetic)
    if learns and not profile.by_role("pretrain"):
        raise ValueError(
            "databases: none has `role: pretrain`, and this profile pre-trains; name one, or "
            "ask for no model that learns from others: `downstream_metrics: {variants: []}` "
            "and `rowgraph_metrics: {beside: []}`")
    if len(profile.downstream_metrics.fan_out) != profile.sage_weights.layers:
        raise ValueError("downstream_metrics.fan_out needs one number per SAGE layer "
                         f"({profile.sage_weights.layers})")


def _the_fewest_workers_are_not_more(profile: Profile) -> None:
    """`ray.fewest` is at most `compute.processes`."""
    if (profile.ray.fewest or 0) > profile.compute.processes:
        raise ValueError(f"ray.fewest is {profile.ray.fewest} and compute.processes "
                         f"{profile.compute.processes}; the fewest that a training may go on with "
                         "are at most these")


def _ray_hands_out_gpus(profile: Profile) -> None:
    """On a cluster a process sees the GPU that it was given, as the first."""
    device = profile.compute.device
    if profile.compute.engine == "ray" and device.startswith("cuda:") and device != "cuda:0":
        raise ValueError(f"compute.device is {device} and compute.engine ray, which hands out its "
                         "GPUs itself; set compute.device to auto or cuda:0")


def _own_past_fits_where_it_starts(profile: Profile) -> None:
    """Own past has the shape of the weights that it starts from."""
    own, others = profile.own_past_weights, profile.forecast_weights
    shapes = (own.width, own.output), (others.width, others.output)
    if own.start == "forecast_weights" and shapes[0] != shapes[1]:
        raise ValueError(f"own_past_weights starts from forecast_weights, of width and output "
                         f"{shapes[1]}, with {shapes[0]} of its own; give both the same")


def _the_sweep_is_one_of_sage_weights(profile: Profile) -> None:
    """Each of `sage_sweep` has settings of `sage_weights`, as many layers and a free name."""
    for name in profile.sage_sweep:
        if not re.fullmatch(r"[A-Za-z0-9_]{1,100}", name):
            raise ValueError(f"sage_sweep: {name[:50]!r} names an asset; use letters, digits "
                             "and _, at most 100")
        try:
            run = profile.swept(name)
        except ValidationError as error:
            first = error.errors()[0]
            setting = ".".join(str(part) for part in first["loc"])
            raise ValueError(f"sage_sweep.{name}.{setting}: {first['msg']}; its settings are "
                             "those of sage_weights") from None
        if name == "sage_weights":
            raise ValueError("sage_sweep.sage_weights: the name is taken; choose another")
        if run.layers != profile.sage_weights.layers:
            raise ValueError(f"sage_sweep.{name}: layers must be those of sage_weights "
                             f"({profile.sage_weights.layers}), found {run.layers}")


def _transfer_compares_what_is_there(profile: Profile) -> None:
    """`transfer_metrics` names pre-trainings that the profile has."""
    known = ["sage_weights", *profile.sage_sweep]
    for name in profile.transfer_metrics.pretrainings:
        if name not in known:
            raise ValueError(f"transfer_metrics.pretrainings: no pre-training {name!r}; there "
                             f"are {', '.join(known)}")
    if len(profile.transfer_metrics.fan_out) != profile.sage_weights.layers:
        raise ValueError("transfer_metrics.fan_out needs one number per SAGE layer "
                         f"({profile.sage_weights.layers})")


def _task_settings_are_of_tasks(profile: Profile) -> None:
    """`task_settings` names tasks, sections of tasks and their settings."""
    tasks = [f"{d.name}/{t}" for d in profile.by_role("heldout") for t in d.tasks]
    for task, sections in profile.task_settings.items():
        if task not in tasks:
            raise ValueError(f"task_settings: no task {task!r}; there are {', '.join(tasks)}")
        for stage in sections:
            if stage not in OF_TASKS:
                raise ValueError(f"task_settings.{task}: no section {stage!r} of a task; there "
                                 f"are {', '.join(OF_TASKS)}")
            try:
                profile.of_task(stage, *task.split("/"))
            except ValidationError as error:
                first = error.errors()[0]
                setting = ".".join(map(str, first["loc"]))
                raise ValueError(f"task_settings.{task}.{stage}.{setting}: "
                                 f"{first['msg']}") from None


def _one_task_one_way_of_looking(profile: Profile) -> None:
    """What stands side by side must have seen the same label rows."""
    for name in (f"{d.name}/{t}" for d in profile.by_role("heldout") for t in d.tasks):
        found = {stage: profile.of_task(stage, *name.split("/")) for stage in (
            "window_features", "rowgraph_metrics", "baseline_metrics", "downstream_metrics",
            "peer_metrics")} | {"own_past_weights": profile.own_past_weights}
        for setting in ("regimes", "folds", "final_fit"):
            values = {stage: getattr(s, setting) for stage, s in found.items()
                      if hasattr(s, setting)}
            if len(set(values.values())) > 1:
                raise ValueError(f"{setting} of {name} must be the same everywhere, found "
                                 f"{values}; set splits.{setting} instead")


RULES: tuple[Callable[[Profile], None], ...] = (
    _databases_make_an_experiment,
    _the_fewest_workers_are_not_more,
    _ray_hands_out_gpus,
    _own_past_fits_where_it_starts,
    _the_sweep_is_one_of_sage_weights,
    _transfer_compares_what_is_there,
    _task_settings_are_of_tasks,
    _one_task_one_way_of_looking)
