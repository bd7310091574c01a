"""What a person sees while assets are made: silent by default, a live line on a terminal."""

import contextlib
import time
from collections.abc import Mapping
from typing import Any

import dagster as dg

SHOWN = 4  # metrics on the live line


class ProgressResource(dg.ConfigurableResource):
    """Hears when an asset starts, moves and ends. This one says nothing."""

    def note(self, text: str) -> None:
        """Something that a person should know."""

    def start(self, name: str) -> None:
        """An asset starts to be made."""

    def update(self, step: int, metrics: Mapping[str, float], of: int | None = None) -> None:
        """It has reached a step, of so many where that is known."""

    def finish(self, name: str, *, reused: bool, seconds: float, peak_mib: float) -> None:
        """It is made, or was found finished."""


class TerminalProgress:
    """A bar over the assets of one run and a line about the one in work (rich)."""

    def __init__(self, total: int, console: Any):
        from rich.progress import (
            BarColumn,
            MofNCompleteColumn,
            Progress,
            TextColumn,
            TimeElapsedColumn,
        )

        self.console = console
        self.rows: list[dict[str, Any]] = []
        self._bar = Progress(
            TextColumn("{task.description}"), BarColumn(bar_width=20), MofNCompleteColumn(),
            TimeElapsedColumn(), TextColumn("{task.fields[detail]}"), console=console,
            transient=True, disable=not console.is_terminal)
        self._task = self._bar.add_task("assets", total=total, detail="")
        self._last = 0.0

    def __enter__(self) -> "TerminalProgress":
        self._bar.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._bar.stop()

    def note(self, text: str) -> None:
        """Print it."""
        self.console.print(text, style="yellow", highlight=False)

    def start(self, name: str) -> None:
        """Show which asset is in work."""
        self._bar.update(self._task, description=name, detail="")
        if not self.console.is_terminal:
            self.console.print(f"… {name}", highlight=False)

    def update(self, step: int, metrics: Mapping[str, float], of: int | None = None) -> None:
        """Show its step and newest metrics, ten times a second at most."""
        now = time.monotonic()
        if now - self._last < 0.1:
            return
        self._last = now
        shown = "  ".join(f"{k} {v:.4g}" for k, v in list(metrics.items())[:SHOWN])
        whole = f" of {of}" if of else ""
        self._bar.update(self._task, detail=f"step {step}{whole}  {shown}")

    def finish(self, name: str, *, reused: bool, seconds: float, peak_mib: float) -> None:
        """Count it and leave a line."""
        self.rows.append({"asset": name, "reused": reused, "seconds": round(seconds, 1),
                          "peak_mib": round(peak_mib)})
        self._bar.advance(self._task)
        with contextlib.suppress(ValueError):
            what = "[dim]reused[/dim]" if reused else "[green]made[/green]"
            self.console.print(f"{what}  {name}  {seconds:.1f} s  {peak_mib:.0f} MiB",
                               highlight=False)
