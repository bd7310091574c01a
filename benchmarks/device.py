"""What one large device does at the paper's sizes: encoding, fine-tuning, pre-training, forecasts.

    python -m benchmarks.device            # one GPU of 80 GB: under seven minutes, 15 GB of disk
    python -m benchmarks.device --small    # toy sizes on a CPU: a minute

Nothing is downloaded: weights are those of `BartConfig` with the sizes of `facebook/bart-large`,
before any training. Each part runs in a process of its own for so many seconds at most, start
included; one that is stopped or fails keeps the figures that it had, and the others go on.

Shares are of the first ceiling, a bfloat16 matrix product measured in the same run. `peak_gib` is
what tensors took of a GPU, or the whole process of a CPU's memory.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
import traceback
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

Row = dict[str, Any]
SECONDS = {"ceilings": 25, "encoding": 75, "fine_tuning": 90, "sage": 150, "forecasting": 70}


def measure(part: str, small: bool, device: str, scratch: Path) -> Iterator[Row]:
    """The rows of a part, as they come."""
    import importlib

    from benchmarks.on_device import measuring

    module = {"ceilings": "measuring", "encoding": "language", "fine_tuning": "language"}
    home = importlib.import_module(f"benchmarks.on_device.{module.get(part, part)}")
    yield from getattr(home, part)(measuring.SMALL if small else measuring.Sizes(), device, scratch)


def in_process(measured: Callable[..., Iterator[Row]], arguments: Sequence[Any],
               seconds: float) -> Iterator[Row]:
    """The rows that a function gives in a fresh process until its time is over.

    Yields:
        Its rows; one with an `error` in the end where it failed or was stopped.
    """
    context = get_context("spawn")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=_send, args=(theirs, measured, arguments))
    end = time.monotonic() + seconds
    process.start()
    theirs.close()
    try:
        while ours.poll(max(0.0, end - time.monotonic())):
            yield ours.recv()
        yield {"what": "the rest", "error": f"stopped after {seconds:g} seconds"}
    except EOFError:  # it has ended
        process.join()
        if process.exitcode:
            yield {"what": "the rest", "error": f"the process ended with {process.exitcode}"}
    finally:
        process.kill()
        process.join()
        ours.close()


def _send(there: Connection, measured: Callable[..., Iterator[Row]],
          arguments: Sequence[Any]) -> None:
    try:
        for row in measured(*arguments):
            there.send(row)
    except Exception as error:
        traceback.print_exc()
        there.send({"what": "the rest", "error": f"{type(error).__name__}: {error}"})


def with_share(row: Row, peak: float | None) -> Row:
    """A row that counts operations, with their share of the peak behind them."""
    shared: Row = {}
    for name, value in row.items():
        shared[name] = value
        if name == "tflops" and peak:
            shared["share"] = value / peak
    return shared


def text_of(value: Any) -> str:
    """A figure with three digits, or as many as its whole part has."""
    if value is None:
        return "–"
    if not isinstance(value, float):
        return str(value)
    return f"{value:,.0f}" if abs(value) >= 100 else f"{value:.3g}"


def table(rows: Sequence[Mapping[str, Any]]) -> str:
    """Rows side by side, under the names of their figures; an error stands in their place."""
    names = list(dict.fromkeys(n for row in rows for n in row if n not in ("what", "error")))
    lines = [["", *names]] + [[row["what"], *(text_of(row.get(n)) for n in names)] for row in rows]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shown = []
    for line, row in zip(lines, [{}, *rows], strict=True):
        cells = [line[0].ljust(widths[0])]
        cells += ([row["error"]] if "error" in row
                  else [cell.rjust(w) for cell, w in zip(line[1:], widths[1:], strict=True)])
        shown.append("  ".join(cells))
    return "\n".join(shown)


def rounded(row: Row) -> Row:
    """For JSON: four digits."""
    return {n: float(f"{v:.4g}") if isinstance(v, float) else v for n, v in row.items()}


def header(device: str) -> Row:
    """What the figures are of."""
    import torch
    import transformers

    from rowgraph.costs.throughput import device_name

    return {"device": device_name(device), "threads": torch.get_num_threads(),
            "torch": torch.__version__, "transformers": transformers.__version__}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure each part in turn; print rows as they come, then tables and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--small", action="store_true", help="toy sizes")
    parser.add_argument("--device", help="as torch names it (default: a GPU where there is one)")
    parser.add_argument("--parts", nargs="+", choices=SECONDS, default=list(SECONDS))
    parser.add_argument("--scratch", type=Path, help="where 15 GB may lie meanwhile")
    for part, seconds in SECONDS.items():
        parser.add_argument(f"--{part.replace('_', '-')}-seconds", type=float, default=seconds,
                            help=f"that {part} may take (default {seconds})")
    args = parser.parse_args(arguments)
    started = time.monotonic()
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "true")
    device = args.device or _device()
    print(f"device {device}; seconds a part at most: "
          + ", ".join(f"{p} {getattr(args, f'{p}_seconds'):g}" for p in args.parts), flush=True)
    results: dict[str, list[Row]] = {}
    peak = None
    for part in args.parts:
        rows = results.setdefault(part, [])
        with tempfile.TemporaryDirectory(dir=args.scratch, ignore_cleanup_errors=True) as scratch:
            for row in in_process(measure, (part, args.small, device, Path(scratch)),
                                  getattr(args, f"{part}_seconds")):
                if part == "ceilings" and not rows:
                    peak = row.get("tflops")
                rows.append(with_share(row, peak))
                figures = (f"{n} {text_of(v)}" for n, v in rows[-1].items() if n != "what")
                print(f"{time.monotonic() - started:6.1f} s  {part}: {row['what']}: "
                      + ", ".join(figures), flush=True)
    for part, rows in results.items():
        print(f"\n{part}\n{table(rows)}", flush=True)
    print(json.dumps({"benchmark": "device", "small": args.small, **header(device),
                      "seconds": round(time.monotonic() - started, 1),
                      "results": {p: [rounded(r) for r in rows] for p, rows in results.items()}}))


def _device() -> str:
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


if __name__ == "__main__":
    main()
