"""Measures how fast this machine trains, encodes and samples at a profile's own shapes.

Weights, tokens, vectors and the graph are random: they cost what real ones cost. Rows are as long
as the corpus's mean. A model too large to build in full on a CPU is measured with one and with two
layers of its own widths, and each further layer is taken to cost what the second did.

Not in the rates: reading and tokenizing texts, and vectors that memory cannot hold and a disk has
to deliver (docs/decisions/costs.md).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import BartConfig, BartForConditionalGeneration, PreTrainedTokenizerFast

from rowgraph.adaptation.inputs import Inputs
from rowgraph.adaptation.training import train
from rowgraph.adaptation.variants import variant
from rowgraph.adaptation.vectors import BartVectors
from rowgraph.artifacts import Draft
from rowgraph.costs.model_shape import ModelShape
from rowgraph.costs.random_world import RandomVectors, random_graph, random_task
from rowgraph.costs.rates import Rates
from rowgraph.encoding.encoder import RowEncoder
from rowgraph.encoding.precision import usable_precision
from rowgraph.encoding.settings import NodeEmbeddingsSettings
from rowgraph.graph.entity_graph import EntityGraph
from rowgraph.language.reconstruction import sum_of_losses
from rowgraph.language.vocabulary import seeded
from rowgraph.profiles import Profile
from rowgraph.randomness import generator
from rowgraph.sage.model import HeteroGraphSAGE
from rowgraph.sage.pretraining import PretrainDatabase, pretrain
from rowgraph.sage.seeds import SeedPlan
from rowgraph.side_by_side import processes_of
from rowgraph.tasks.folds import View

REAL_BELOW = 100_000_000  # parameters of a model that a CPU measures in full
FEW_TOKENS = 512  # of a device batch of a larger one: less would not fill the cores
SEEDS = {"cpu": 512, "cuda": 4_096}  # the most seeds of a batch of SAGE
ROUNDS = 3
WORDS = 200  # of random texts; no vocabulary is smaller
STEPS = 6  # of SAGE, the first of which is not counted
NODES_A_SEED = 200  # of the random graph: neighbourhoods of a batch overlap little, as at scale

Clock = Callable[[], float]


class ThroughputError(ValueError):
    """A measurement that cannot be used; the message says the next move."""


def measure_rates(profile: Profile, shape: ModelShape, tokens_a_row: int, scratch: Path, *,
                  device: str, clock: Clock, note: Callable[[str], None],
                  date: str | None = None) -> Rates:
    """Measure everything that hours are made from.

    Args:
        profile: its settings of every stage.
        shape: of its language model.
        tokens_a_row: length of the rows that are trained on and encoded.
        scratch: an empty folder.
        device: as torch names it.
        clock: seconds.
        note: told what is measured next.
        date: of the measurement, for the header.

    Raises:
        ThroughputError: two layers took no longer than one, so nothing can be extrapolated.
    """
    with seeded("throughput"):
        return _measure_rates(profile, shape, tokens_a_row, scratch, device, clock, note, date)


def _measure_rates(profile: Profile, shape: ModelShape, tokens_a_row: int, scratch: Path,
                   device: str, clock: Clock, note: Callable[[str], None],
                   date: str | None) -> Rates:
    tokens = min(tokens_a_row, profile.bart_checkpoint.max_tokens)
    real = shape.parameters < REAL_BELOW or torch.device(device).type == "cuda"
    shapes = [shape] if real else [shape.with_layers(1), shape.with_layers(2)]
    layers = " and ".join(f"{s.encoder_layers} + {s.decoder_layers}" for s in shapes)
    note(f"language model of {layers} layers")
    measured = _language_seconds(shapes, profile, tokens, device, clock)
    if real:
        (train, encode), in_words = measured[0], "in full"
    else:
        train, encode = extrapolated(measured, shape)
        in_words = (f"with {layers} layers, extrapolated to {shape.encoder_layers} + "
                    f"{shape.decoder_layers}")
    note("GraphSAGE on a random graph")
    graph = random_graph(NODES_A_SEED * _seeds(profile, device))
    vectors = RandomVectors(graph, shape.d_model)
    seeds = _trained_seeds(profile, graph, vectors, scratch, device, clock)
    note("adaptation to a random task")
    labels = _adapted_labels(profile, graph, vectors, device, clock)
    rows = f"{in_words}, random weights, rows of {tokens} tokens"
    return Rates(
        {"trained_tokens": 1 / train, "encoded_tokens": 1 / encode, "trained_seeds": seeds,
         "adapted_labels": labels},
        {"trained_tokens": rows, "encoded_tokens": rows,
         "trained_seeds": f"a random graph of {sum(graph.num_nodes.values())} nodes, "
                          f"{_seeds(profile, device)} seeds a batch",
         "adapted_labels": "one variant, one epoch, on the same graph, "
                           f"{processes_of(profile.downstream_metrics.workers, device)} at once"},
        {"device": device, "device_name": device_name(device),
         "threads": torch.get_num_threads(), "date": date, "tokens_a_row": tokens})


def device_name(device: str) -> str:
    """What a person calls the device."""
    if torch.device(device).type == "cuda":
        return torch.cuda.get_device_name(device)
    return "CPU"


def extrapolated(seconds: Sequence[tuple[float, float]],
                 shape: ModelShape) -> tuple[float, float]:
    """Training and encoding seconds of a deep model from those of one and of two layers.

    Training: `t_1 + (n - 1) (t_2 - t_1)` with n the mean of encoder and decoder layers; encoding:
    n the encoder's.

    Raises:
        ThroughputError: two layers took no longer than one.
    """
    (train_1, encode_1), (train_2, encode_2) = seconds
    if train_2 <= train_1 or encode_2 <= encode_1:
        raise ThroughputError("two layers took no longer than one, so other work disturbed the "
                              "measurement; run it again when the machine is idle")
    further = (shape.encoder_layers + shape.decoder_layers) / 2 - 1
    return (train_1 + further * (train_2 - train_1),
            encode_1 + (shape.encoder_layers - 1) * (encode_2 - encode_1))


def _language_seconds(shapes: Sequence[ModelShape], profile: Profile, tokens: int, device: str,
                      clock: Clock) -> list[tuple[float, float]]:
    """Seconds to train on a token, and to encode one, with a model of each shape."""
    few = len(shapes) > 1
    models = [BartForConditionalGeneration(config_of(shape)).to(device) for shape in shapes]
    training = [_Training(model, profile, tokens, device, few) for model in models]
    one_pass = _fastest([t.passes for t in training], device, clock)
    one_step = _fastest([t.optimizer.step for t in training], device, clock)
    train = [a / t.tokens + b / (profile.bart_checkpoint.effective_batch * tokens)
             for t, a, b in zip(training, one_pass, one_step, strict=True)]
    for t in training:
        t.optimizer.zero_grad(set_to_none=True)
    training.clear()
    encoding = [_Encoding(model, profile.node_embeddings, tokens, device, few) for model in models]
    encode = _fastest([e.encode for e in encoding], device, clock)
    return [(a, b / e.tokens) for a, b, e in zip(train, encode, encoding, strict=True)]


def config_of(shape: ModelShape) -> BartConfig:
    """What transformers builds a model of the shape from."""
    return BartConfig(
        vocab_size=shape.vocabulary, d_model=shape.d_model,
        encoder_layers=shape.encoder_layers, decoder_layers=shape.decoder_layers,
        encoder_attention_heads=shape.heads, decoder_attention_heads=shape.heads,
        encoder_ffn_dim=shape.ffn_dim, decoder_ffn_dim=shape.ffn_dim, dropout=shape.dropout,
        attention_dropout=shape.attention_dropout, max_position_embeddings=shape.positions)


class _Training:
    """A device batch's forward and backward pass, and the optimizer's step."""

    def __init__(self, model: BartForConditionalGeneration, profile: Profile, tokens: int,
                 device: str, few: bool):
        s = profile.bart_checkpoint
        rows = min(s.device_batch, s.effective_batch)
        rows = min(rows, max(1, FEW_TOKENS // tokens)) if few else rows
        draw = generator("throughput", "tokens")
        ids = torch.from_numpy(draw.integers(5, model.config.vocab_size, (rows, tokens))).to(device)
        seen = torch.ones_like(ids)
        seen[0, -1] = 0  # rows of a batch differ in length, so attention has a mask
        self.inputs = {"input_ids": ids, "attention_mask": seen, "decoder_input_ids": ids,
                       "labels": ids, "value_tokens": ids % 5 < 2}
        self.tokens, self.bag_weight = ids.numel(), s.bag_of_tokens_weight
        self.autocast = torch.autocast(torch.device(device).type, torch.bfloat16,
                                       enabled=usable_precision(s.precision, device) == "bf16")
        self.model = model.train()
        self.optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6)

    def passes(self) -> None:
        with self.autocast:
            losses, _ = sum_of_losses(self.model, self.inputs, self.bag_weight)
        ((losses["reconstruction"] + losses["bag"]) / self.tokens).backward()


class _Encoding:
    """A full batch for each worker, through the encoder that rows go through."""

    def __init__(self, model: BartForConditionalGeneration, settings: NodeEmbeddingsSettings,
                 tokens: int, device: str, few: bool):
        batch = min(settings.batch_tokens, FEW_TOKENS) if few else settings.batch_tokens
        settings = settings.model_copy(update={"batch_tokens": max(batch, tokens)})
        if usable_precision(settings.precision, device) == "bf16":
            model = model.to(torch.bfloat16)
        self.encoder = RowEncoder(model, _tokenizer_of_numbers(model.config), settings, device)
        count = max(1, batch // tokens) * max(1, self.encoder.workers)
        draw = generator("throughput", "texts")
        self.texts = [" ".join(map(str, draw.integers(0, WORDS, tokens))) for _ in range(count)]
        self.tokens = count * tokens

    def encode(self) -> None:
        self.encoder.encode_distinct(self.texts)


def _tokenizer_of_numbers(config: BartConfig) -> PreTrainedTokenizerFast:
    """One token a number below `WORDS`, so that a text is as long as it has numbers."""
    words = Tokenizer(models.WordLevel({str(n): n for n in range(WORDS)}, unk_token="0"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="1",
                                   model_max_length=config.max_position_embeddings)


def _fastest(calls: Sequence[Callable[[], object]], device: str, clock: Clock) -> list[float]:
    """Seconds of the fastest of a few rounds of calls, after one that does not count.

    Other work only ever slows a call, and extrapolation would multiply what it added; taking turns
    gives each call the same chance of a quiet moment.
    """
    fastest = [float("inf")] * len(calls)
    for number in range(1 + ROUNDS):
        for i, call in enumerate(calls):
            _synchronize(device)
            started = clock()
            call()
            _synchronize(device)
            if number:
                fastest[i] = min(fastest[i], clock() - started)
    return fastest


def _synchronize(device: str) -> None:
    if torch.device(device).type == "cuda":
        torch.cuda.synchronize(device)


def _seeds(profile: Profile, device: str) -> int:
    return min(profile.sage_weights.batch, SEEDS[torch.device(device).type])


def _trained_seeds(profile: Profile, graph: EntityGraph, vectors: RandomVectors, scratch: Path,
                   device: str, clock: Clock) -> float:
    """Seeds a second between the first step and the last of a short pre-training."""
    batch = _seeds(profile, device)
    settings = profile.sage_weights.model_copy(update={
        "batch": batch, "epochs": 1, "seeds_per_epoch": STEPS * batch})
    steps = SeedPlan({"random": graph}, settings).epoch(0)
    ended: list[float] = []

    def log(step: int, metrics: Mapping[str, float], of: int | None = None) -> None:
        if "train_loss" in metrics:
            ended.append(clock())

    pretrain([PretrainDatabase("random", graph, vectors)], settings, Draft(scratch),
             device=device, log=log)
    return sum(len(seeds.rows) for seeds in steps[1:]) / (ended[-1] - ended[0])


def _adapted_labels(profile: Profile, graph: EntityGraph, vectors: RandomVectors, device: str,
                    clock: Clock) -> float:
    """Label rows a second, counted as `costs` counts them, of one epoch of one variant, in as many
    processes as the stage would have, which hardly disturb each other."""
    settings = profile.downstream_metrics.model_copy(update={"epochs": 1, "train_rows": None})
    sage = profile.sage_weights
    task = random_task(graph.num_nodes["parents"], settings.batch)
    shared = HeteroGraphSAGE(vectors.dim, [], sage.hidden, sage.layers,
                             sage.edge_type_reduce).shared_state_dict()
    fit = View("fit", task.train, task.train.times)
    asked = {f"{split} {regime}": View(f"{split} {regime}", labels, labels.times)
             for split, labels in (("val", task.val), ("test", task.test))
             for regime in settings.regimes}
    inputs = Inputs(task, graph, settings)
    started = clock()
    for _ in train(inputs, graph, vectors, BartVectors(vectors, shared, sage),
                   variant("bart_gnn_finetuned"), settings, fit=fit, asked=asked, seed=0,
                   device=device):
        pass
    seconds = clock() - started
    rows = len(fit.labels) + sum(len(view.labels) for view in asked.values())
    return rows / seconds * processes_of(settings.workers, device)
