"""What collapses a small BART from scratch, and whether a profile stays healthy over seeds.

    python -m benchmarks.collapse --profile demo                  # five seeds of the profile
    python -m benchmarks.collapse --profile demo --grid ablation  # the ablation, three seeds

Every cell is a whole fine-tuning on the profile's own corpus, on one thread, with the gate switched
off; figures are those of `health.json` and of the test split. Finished cells are kept below
`ROWGRAPH_HOME/benchmarks/collapse` and not made again.
"""

from __future__ import annotations

import argparse
import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from transformers import BartForConditionalGeneration

from benchmarks.materialized import materialized
from pipeline.environment import Environment
from rowgraph.artifacts import Draft, write_json
from rowgraph.encoding.encoder import mean_pool
from rowgraph.language import fine_tuning, vocabulary
from rowgraph.language.settings import BartCheckpointSettings
from rowgraph.randomness import digest

PLAIN = {"initial_std": 0.02, "effective_batch": 64, "device_batch": 16, "learning_rate": 1e-3,
         "decoder_word_drop": 0.0, "bag_of_tokens_weight": 0.0}
WIDE = {"initial_std": None}  # by width: 0.057 at 128
SMALL = {"effective_batch": 16, "device_batch": 8}
DROP, BAG = {"decoder_word_drop": 0.3}, {"bag_of_tokens_weight": 1.0}
# name: changes to the profile's settings; "bottleneck" shows the decoder the pooled vector alone.
ABLATION: dict[str, dict[str, Any]] = {
    "plain": PLAIN,
    "plain, rate 3e-4": {**PLAIN, "learning_rate": 3e-4},
    "plain, rate 3e-3": {**PLAIN, "learning_rate": 3e-3},
    "plain, 6 epochs": {**PLAIN, "epochs": 6},
    "plain, 2 decoder layers": {**PLAIN, "decoder_layers": 2},
    "plain + bottleneck": {**PLAIN, "bottleneck": True},
    "plain + word drop": {**PLAIN, **DROP},
    "plain + bag loss": {**PLAIN, **BAG},
    "plain + small steps": {**PLAIN, **SMALL},
    "plain + std by width": {**PLAIN, **WIDE},
    "plain + std by width + small steps": {**PLAIN, **WIDE, **SMALL},
    "remedy": {**PLAIN, **WIDE, **SMALL, **DROP, **BAG},
    "remedy − word drop": {**PLAIN, **WIDE, **SMALL, **BAG},
    "remedy − bag loss": {**PLAIN, **WIDE, **SMALL, **DROP},
    "remedy − std by width": {**PLAIN, **SMALL, **DROP, **BAG},
    "remedy − small steps": {**PLAIN, **WIDE, **DROP, **BAG},
    "remedy, 2 decoder layers": {**PLAIN, **WIDE, **SMALL, **DROP, **BAG, "decoder_layers": 2},
    "remedy, rate 3e-3": {**PLAIN, **WIDE, **SMALL, **DROP, **BAG, "learning_rate": 3e-3},
}
SHOWN = ("spread", "within_spread", "effective_rank", "norm_of_mean", "table_purity", "test_loss",
         "masked_table", "masked_attribute", "masked_value")


class PooledOnly(BartForConditionalGeneration):
    """A BART whose decoder sees the mean of the encoder's states and nothing else."""

    def forward(self, input_ids=None, attention_mask=None, **kwargs):
        """As the library's, with cross-attention to one vector a row."""
        states_BSD = self.get_encoder()(input_ids, attention_mask).last_hidden_state
        pooled_B1D = mean_pool(states_BSD, attention_mask.bool())[:, None]
        outputs = super().forward(encoder_outputs=(pooled_B1D,), **kwargs)
        outputs.encoder_last_hidden_state = states_BSD
        return outputs


@contextmanager
def bottleneck(wanted: bool) -> Iterator[None]:
    """Fine-tuning builds and reloads `PooledOnly` meanwhile."""
    if not wanted:
        yield
        return
    with (patch.object(vocabulary, "BartForConditionalGeneration", PooledOnly),
          patch.object(fine_tuning, "BartForConditionalGeneration", PooledOnly)):
        yield


def cell(corpus: Path, settings: BartCheckpointSettings, pooled: bool, kept: Path) -> dict:
    """The figures of one fine-tuning, from disk where it has been made before."""
    path = kept / f"{digest(str(corpus.parent.name), settings.effective(), pooled)[:16]}.json"
    if path.exists():
        return json.loads(path.read_text())
    started = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, bottleneck(pooled):
        summary = fine_tuning.fine_tune(corpus, settings, Draft(Path(folder)), device="cpu",
                                        log=lambda step, metrics: None)
    figures = {**summary["health"], **summary["test_accuracy"],
               **{k: summary[k] for k in ("test_loss", "validation_loss", "steps")},
               "seconds": round(time.perf_counter() - started, 1)}
    kept.mkdir(parents=True, exist_ok=True)
    write_json(path, figures)
    return figures


def main() -> None:
    """Make every cell of a grid, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="demo", help="demo, f1 or the path of a YAML file")
    parser.add_argument("--grid", choices=["seeds", "ablation"], default="seeds")
    parser.add_argument("--seeds", type=int, help="how many (default 5, ablation 3)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    environment = Environment.read(args.profile)
    profile = environment.profile.bart_checkpoint
    corpus = materialized(args.profile, "linearized_corpus").path("corpus.parquet")
    cells = {environment.profile.name: {}} if args.grid == "seeds" else ABLATION
    seeds = range(args.seeds or (5 if args.grid == "seeds" else 3))
    floor = {"min_spread": 0.0, "min_effective_rank": 1.0}
    print(f"| {'setting':<36} | seed | " + " | ".join(SHOWN) + " | healthy |")
    rows = []
    for name, changes in cells.items():
        changes = dict(changes)
        pooled = changes.pop("bottleneck", False)
        for seed in seeds:
            settings = profile.model_copy(update={**changes, **floor, "seed": seed})
            figures = cell(corpus, settings, pooled, environment.home / "benchmarks" / "collapse")
            healthy = (figures["spread"] >= profile.min_spread
                       and figures["effective_rank"] >= profile.min_effective_rank)
            rows.append({"setting": name, "seed": seed, "healthy": healthy, **figures})
            shown = " | ".join("" if figures[k] is None else f"{figures[k]:.3f}" for k in SHOWN)
            print(f"| {name:<36} | {seed} | {shown} | {healthy} |", flush=True)
    means = {name: {k: round(float(np.mean([r[k] for r in rows if r["setting"] == name
                                            and r[k] is not None] or [np.nan])), 4)
                    for k in (*SHOWN, "healthy", "seconds")} for name in cells}
    print(json.dumps({"benchmark": "collapse", "profile": environment.profile.name,
                      "seeds": len(seeds), "means": means}))


if __name__ == "__main__":
    main()
