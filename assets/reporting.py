"""What a run says while an asset is made: lines in its log, figures on the asset's page, curves in
MLflow, a live line in the terminal."""

import contextlib
import datetime
import math
import threading
import time
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from resources.progress import ProgressResource
from resources.tracked_run import TrackedRun

SHOWN = 4  # figures in a line
CLOSEST, FURTHEST = 5.0, 60.0  # seconds between lines: a twentieth of the time so far, within these
SILENCE = 30.0  # seconds without a line, after which one says that the work goes on


class Reporting:
    """A `rowgraph.progress.Log` that passes on what it hears; use as a context manager.

    Args:
        context: of the asset.
        name: of the asset, for people.
        tracked: gets every figure.
        progress: hears every report.
        link: the page of the MLflow run, if there is one.
    """

    def __init__(self, context: dg.AssetExecutionContext, name: str, tracked: TrackedRun,
                 progress: ProgressResource, link: str | None = None):
        self.context, self.name, self.tracked, self.progress = context, name, tracked, progress
        self._link = link
        self._started = self._said = time.monotonic()
        self._due = self._started
        self._first: tuple[int, float] | None = None
        self._last = 0
        self._over = threading.Event()
        self._waking = threading.Thread(target=self._wake, name="still in work", daemon=True)

    def __enter__(self) -> "Reporting":
        self.progress.start(self.name)
        self._observe(f"{self.name}: begun", {
            "mlflow_run": dg.MetadataValue.url(self._link)} if self._link else {})
        self._waking.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._waking.join()

    def __call__(self, step: int, metrics: Mapping[str, float], of: int | None = None) -> None:
        self.tracked.log(step, metrics)
        self.progress.update(step, metrics, of)
        now = time.monotonic()
        if self._first is None or step < self._last:
            self._first = step, now
        self._last = step
        if now >= self._due:
            self._due = now + min(FURTHEST, max(CLOSEST, (now - self._started) / 20))
            self._observe(f"{self.name}: {self._line(step, metrics, of, now)}", {
                "step": step, **({"of": of} if of else {}),
                **{k: float(v) for k, v in metrics.items() if math.isfinite(v)}})

    def _observe(self, line: str, metadata: dict[str, Any]) -> None:
        self._said = time.monotonic()
        self.context.log.info(line)
        self.context.log_event(dg.AssetObservation(self.context.asset_key, description=line,
                                                   metadata=metadata))

    def _line(self, step: int, metrics: Mapping[str, float], of: int | None, now: float) -> str:
        figures = "  ".join(f"{k} {v:.4g}" for k, v in list(metrics.items())[:SHOWN])
        if not of:
            return f"step {step:,}: {figures}"
        first, since = self._first
        line = f"step {step:,} of {of:,} ({step / of:.0%}): {figures}"
        if step <= first:
            return line
        rate = (step - first) / (now - since)
        return f"{line}; {rate:.3g} a second, {clock((of - step) / rate)} left"

    def _wake(self) -> None:
        while not self._over.wait(max(1.0, self._said + SILENCE - time.monotonic())):
            now = time.monotonic()
            if now >= self._said + SILENCE:
                self._said = now
                self.context.log.info(f"{self.name}: in work for {clock(now - self._started)}")


def clock(seconds: float) -> str:
    """Seconds as hours, minutes and seconds."""
    return str(datetime.timedelta(seconds=round(seconds)))


@contextlib.contextmanager
def explained() -> Iterator[None]:
    """Raise an error again so that the first line of the step's page is its cause and next move."""
    try:
        yield
    except dg.Failure:
        raise
    except Exception as error:
        raise dg.Failure(f"{type(error).__name__}: {error}") from error
