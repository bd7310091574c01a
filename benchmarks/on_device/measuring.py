"""How much is measured, how it is timed, and what the device could do at most."""

from __future__ import annotations

import gc
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from benchmarks.scale import memory_gib
from rowgraph.costs.model_shape import BART_LARGE, ModelShape
from rowgraph.profiles import Profile, load_profile

Row = dict[str, Any]
DATABASE = "random"


@dataclass(frozen=True)
class Sizes:
    """How much is measured.

    Args:
        square: rows of the matrices of a product.
        shape: of the language model; vocabulary: of the tokenizer.
        tokens: mean of a row; encoded: rows of a call; batches: tokens of a batch of the encoder.
        device_batches: of fine-tuning, for each of `tokens`.
        nodes, dim: of the random graph and its vectors.
        pasts: synthetic databases; asked: rows of a step of their forecasts.
        steps: of any training, at most; seconds: that any measurement may take, about.
        changed: settings of the profile that differ, by section.
    """

    square: int = 8_192
    shape: ModelShape = BART_LARGE
    vocabulary: int = 4_000
    tokens: tuple[int, ...] = (128, 512)
    encoded: tuple[int, ...] = (2_048, 512)
    batches: tuple[int, ...] = (16_384, 65_536)
    device_batches: tuple[tuple[int, ...], ...] = ((16, 128), (16, 32))
    nodes: int = 200 * 16_384
    dim: int = 1_024
    pasts: int = 4
    asked: tuple[int, ...] = (160, 1_024, 4_096)
    steps: int = 16
    seconds: float = 8.0
    changed: Mapping[str, Mapping[str, Any]] | None = None

    def profile(self) -> Profile:
        """The paper's, with what differs."""
        paper = load_profile("paper")
        return paper.model_copy(update={
            section: getattr(paper, section).model_copy(update=values)
            for section, values in (self.changed or {}).items()})


SMALL = Sizes(
    square=256, vocabulary=400, tokens=(32,), encoded=(16,), batches=(256,), device_batches=((4,),),
    shape=ModelShape(vocabulary=500, d_model=16, ffn_dim=32, encoder_layers=2, decoder_layers=1,
                     heads=2, positions=128, dropout=0.1, attention_dropout=0.1),
    nodes=2_000, dim=16, pasts=1, asked=(16,), steps=4, seconds=0.5,
    changed={"bart_checkpoint": {"effective_batch": 8, "max_tokens": 128},
             "sage_weights": {"hidden": 8, "batch": 64, "fan_out": (3, 2)}})


class Enough(Exception):
    """A training has been watched for long enough."""


class Steps:
    """Ends a training through its `log`, as an interruption would: after a number of steps, or
    after some seconds once three are timed."""

    def __init__(self, most: int, seconds: float, loss: str):
        self.most, self.seconds, self.loss = most, seconds, loss
        self.ended: list[float] = []

    def log(self, step: int, metrics: Mapping[str, float]) -> None:
        """Called after each step."""
        if self.loss in metrics:
            self.ended.append(time.perf_counter())
            long = len(self.ended) > 3 and self.ended[-1] - self.ended[0] > self.seconds
            if len(self.ended) >= self.most or long:
                raise Enough

    def each(self, skipped: int = 1) -> float:
        """Seconds of a step, the mean of those after the first ones."""
        return (self.ended[-1] - self.ended[skipped - 1]) / (len(self.ended) - skipped)


def attempted(what: str, device: str, measure: Callable[[], Row]) -> Row:
    """A row: what was measured with the peak of memory, or the error that came instead."""
    gc.collect()
    cuda = torch.device(device).type == "cuda"
    if cuda:
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
    try:
        found = measure()
    except Exception as error:  # the other measurements go on
        traceback.print_exc()
        lines = str(error).strip().splitlines() or [""]
        return {"what": what, "error": f"{type(error).__name__}: {lines[0]}"}
    peak = torch.cuda.max_memory_allocated() / 2**30 if cuda else memory_gib("VmHWM")
    return {"what": what, **found, "peak_gib": peak}


def synchronize(device: str | torch.device) -> None:
    """Wait for the device."""
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize()


def mean_seconds(call: Callable[[], Any], seconds: float, device: str) -> float:
    """Of a call, after one that does not count, over two calls or more."""
    call()
    synchronize(device)
    started, calls = time.perf_counter(), 0
    while calls < 2 or time.perf_counter() - started < seconds:
        call()
        calls += 1
        if calls % 4 == 0:
            synchronize(device)
    synchronize(device)
    return (time.perf_counter() - started) / calls


def ceilings(sizes: Sizes, device: str, scratch: Path) -> Iterator[Row]:
    """What the device can do: matrix products, and copies to it. The first row is the peak."""
    n = sizes.square

    def product(dtype: torch.dtype, precision: str) -> Row:
        torch.set_float32_matmul_precision(precision)
        a, b = torch.randn(2, n, n, device=device).to(dtype)
        each = mean_seconds(lambda: a @ b, min(1.0, sizes.seconds), device)
        return {"tflops": 2 * n**3 / each / 1e12}

    def copied() -> Row:
        held = torch.empty(n * n, dtype=torch.float32, pin_memory=True)
        each = mean_seconds(lambda: held.to(device, non_blocking=True), 0.5, device)
        return {"gb_s": held.nbytes / each / 1e9}

    kinds = {"bf16": (torch.bfloat16, "highest"), "tf32": (torch.float32, "high"),
             "fp32": (torch.float32, "highest")}
    for name, kind in kinds.items():
        yield attempted(f"{name} product of {n:,}²", device, lambda kind=kind: product(*kind))
    if torch.device(device).type == "cuda":
        yield attempted("pinned memory to the device", device, copied)
