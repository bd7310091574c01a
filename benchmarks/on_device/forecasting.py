"""Training on forecasts of synthetic databases' own pasts, on the device and the CPU beside it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, suppress
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch

from benchmarks.on_device.measuring import Enough, Row, Sizes, Steps, attempted
from rowgraph.forecasting.pretraining import _synthetic
from rowgraph.forecasting.training import Past, Weights, train


def forecasting(sizes: Sizes, device: str, scratch: Path) -> Iterator[Row]:
    """Forecasts of synthetic databases' own pasts, on the device and on the CPU beside it."""
    settings, cpu = sizes.profile().forecast_weights, torch.device("cpu")
    pasts = [_synthetic(scratch / f"synthetic_{k}", k, settings, cpu, 1.0)
             for k in range(sizes.pasts)]
    threads = torch.get_num_threads()
    places = [(device, threads)] if torch.device(device).type != "cpu" else []
    places += [("cpu", n) for n in sorted({1, threads})]
    for batch in sizes.asked:
        for place, count in places:
            name = place if place != "cpu" else f"cpu, {count} thread{'s' * (count > 1)}"
            torch.set_num_threads(count)
            yield attempted(f"{batch:,} rows a step, {name}", place, lambda p=place, b=batch: (
                forecast(pasts, b, sizes, p)))
            torch.set_num_threads(threads)


def forecast(pasts: list[Past], batch: int, sizes: Sizes, device: str) -> Row:
    """Seeds a second, and the share of the time that drawing questions and reading take."""
    settings = sizes.profile().forecast_weights.model_copy(update={
        "batch": batch, "steps": sizes.steps})
    here = [replace(past, names=past.names.to(torch.device(device))) for past in pasts]
    steps = Steps(sizes.steps, sizes.seconds, "loss")
    spent: dict[str, list[float]] = {"drawing": [], "reading": []}

    def timed(name: str, call: Callable) -> Callable:
        def inner(*args: Any) -> Any:
            started = time.perf_counter()
            result = call(*args)
            spent[name].append(time.perf_counter() - started)
            return result
        return inner

    with ExitStack() as stack:
        for past in here:
            for thing, method, name in ((past.questions, "draw", "drawing"),
                                        (past.reader, "batch", "reading")):
                stack.enter_context(patch.object(thing, method,
                                                 timed(name, getattr(thing, method))))
        with suppress(Enough):
            train(here, Weights.fresh(settings, 0), settings, purpose=("benchmarks.device",),
                  rotated=True, device=torch.device(device), log=steps.log)
    spans = [b - a for a, b in pairwise(steps.ended)][1:]  # as the first two steps do not count
    drawing, reading = (float(np.mean(spent[name][2:])) for name in spent)
    each = float(np.mean(spans))
    return {"seeds_s": batch / each, "step_s": each, "drawing_s": drawing, "reading_s": reading,
            "passes_s": each - drawing - reading, "steps": len(spans)}
