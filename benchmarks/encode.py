"""Rows a second of `RowEncoder` against sentence-transformers' `encode`, same weights, same rows.

    python -m benchmarks.encode        # make bench-encode installs sentence-transformers

The weights are those of the profile's `bart_checkpoint` (made first where it is missing), which its
health gate has passed. The peer is the same encoder behind sentence-transformers' `Transformer` and
mean `Pooling` modules, called as people call it: default batch size, fp32. Both get the same number
of threads and take turns in one process, after a first call that is not timed; the ratio is the
median over rounds of ratios within a round. Agreement is the cosine, after centring, with plain
fp32 encoding of one text at a time. Rows are a block of consecutive rows of each table, in
proportion to its size.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks.materialized import materialized
from rowgraph.databases.database import Database
from rowgraph.encoding.encoder import RowEncoder, encode
from rowgraph.encoding.precision import usable_precision
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.language.vocabulary import quiet
from rowgraph.rows.linearization import linearize_frame

Encode = Callable[[list[str]], np.ndarray]


def rows_of(folder: Path, count: int) -> list[str]:
    """About `count` linearized rows of a database: a block from the middle of each table."""
    database = Database.open(folder)
    total = sum(database.num_rows(t) for t in database.tables)
    texts: list[str] = []
    for table in database.tables:
        frame = database.read(table)
        wanted = max(1, round(count * frame.height / total))
        block = frame.slice((frame.height - wanted) // 2, wanted)
        texts += linearize_frame(table, block, database.attributes(table)).to_list()
    return texts


def peer(checkpoint: Path) -> Encode:
    """sentence-transformers over the same encoder."""
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer

    with quiet():
        transformer = Transformer(str(checkpoint))
        transformer.model = transformer.model.get_encoder()  # BART's decoder has no say in it
    width = transformer.model.config.d_model
    model = SentenceTransformer(modules=[transformer, Pooling(width)], device="cpu")
    return lambda texts: model.encode(texts, show_progress_bar=False)


def plain(checkpoint: Path, batch: int) -> Encode:
    """What one writes first: batches in the given order, padded to their longest."""
    encoder = RowEncoder.open(checkpoint, NodeEmbeddingsSettings(), "cpu")

    @torch.inference_mode()
    def encode_texts(texts: list[str]) -> np.ndarray:
        vectors = []
        for first in range(0, len(texts), batch):
            inputs = encoder.tokenizer(texts[first:first + batch], return_tensors="pt",
                                       padding=True, truncation=True,
                                       max_length=encoder.max_tokens,
                                       return_token_type_ids=False)
            hidden = encoder.encoder(**inputs).last_hidden_state
            weight = inputs["attention_mask"][:, :, None]
            vectors.append(((hidden * weight).sum(1) / weight.sum(1)).numpy())
        return np.concatenate(vectors)

    return encode_texts


def ours(checkpoint: Path, *, cells: bool = True, fused: bool = True, distinct: bool = True,
         batch_tokens: int = 4_096, **settings) -> Encode:
    """`RowEncoder` as `node_embeddings` uses it, or without one of the things that make it fast.

    Args:
        cells: each distinct cell is tokenized once; else whole texts are.
        fused: the forward pass made for bfloat16; else the library's.
        distinct: each distinct text is encoded once.
    """
    encoder = RowEncoder.open(
        checkpoint, NodeEmbeddingsSettings(batch_tokens=batch_tokens, **settings), "cpu")
    if not cells:
        encoder._tokenized = lambda texts: encoder._tokens(texts, specials=True)
    if not fused:
        encoder.fused, encoder.batch_tokens = None, batch_tokens
    if distinct:
        return lambda texts: encode(texts, encoder, log=lambda *_: None)
    return lambda texts: encoder.encode_distinct(texts).vectors


def agreement(found: np.ndarray, reference: np.ndarray) -> float:
    """The lowest cosine of any row, both sides centred on the reference's mean."""
    a, b = found - reference.mean(0), reference - reference.mean(0)
    norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
    return float(((a * b).sum(1) / np.maximum(norms, 1e-12)).min())


def main() -> None:
    """Time every contestant in turn, print a table and one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--profile", default="demo", help="whose checkpoint")
    parser.add_argument("--databases", default=os.environ.get("ROWGRAPH_DATABASES"),
                        help="folder of RelBench 3 folders (default ROWGRAPH_DATABASES)")
    parser.add_argument("--names", nargs="+", default=["rel-f1", "rel-baseball"])
    parser.add_argument("--rows", type=int, default=6_000, help="of each database")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=len(os.sched_getaffinity(0)))
    args = parser.parse_args()
    if not args.databases:
        raise SystemExit("name a folder of RelBench 3 folders in ROWGRAPH_DATABASES or --databases")
    checkpoint = materialized(args.profile, "bart_checkpoint").path("checkpoint")
    torch.set_num_threads(args.threads)
    print(f"{args.threads} threads; bfloat16 is "
          + ("native" if usable_precision("bf16", "cpu") == "bf16" else "not native: fp32 instead"))
    n = args.threads
    contestants = {
        "sentence-transformers": peer(checkpoint),
        "plain loop, 32 rows": plain(checkpoint, 32),
        "1 worker, no padding": ours(checkpoint, workers=1, cells=False, distinct=False),
        "a worker a core": ours(checkpoint, workers=n, cells=False, distinct=False),
        "and distinct texts once": ours(checkpoint, workers=n, cells=False),
        "and distinct cells once": ours(checkpoint, workers=n),
        "and bf16": ours(checkpoint, workers=n, fused=False, precision="bf16"),
        "and a fused forward pass": ours(checkpoint, workers=n, precision="bf16"),
    }
    results = {}
    for name in args.names:
        texts = rows_of(Path(args.databases) / name, args.rows)
        sample = texts[::max(1, len(texts) // 500)]
        reference = plain(checkpoint, 1)(sample)
        for run in contestants.values():
            run(sample)  # whatever is made at the first call is not timed
        seconds: dict[str, list[float]] = {c: [] for c in contestants}
        for _ in range(args.rounds):
            for contestant, run in contestants.items():
                started = time.perf_counter()
                run(texts)
                seconds[contestant].append(time.perf_counter() - started)
        print(f"\n{name}: {len(texts)} rows, {len(set(texts))} distinct, {args.rounds} rounds")
        print(f"{'':<26}{'rows/s':>8}{'ratio':>8}{'min':>7}{'max':>7}   lowest cosine")
        results[name] = {}
        for contestant, taken in seconds.items():
            ratios = np.array(seconds["sentence-transformers"]) / np.array(taken)
            cosine = agreement(contestants[contestant](sample), reference)
            results[name][contestant] = {
                "rows_per_second": round(len(texts) / float(np.median(taken)), 1),
                "ratio": round(float(np.median(ratios)), 3), "cosine": round(cosine, 6)}
            print(f"{contestant:<26}{len(texts) / np.median(taken):>8.0f}{np.median(ratios):>8.2f}"
                  f"{ratios.min():>7.2f}{ratios.max():>7.2f}   {cosine:.6f}", flush=True)
    print(json.dumps({"benchmark": "encode", "threads": n, "rounds": args.rounds,
                      "results": results}))


if __name__ == "__main__":
    main()
