"""What a profile costs before it runs: disk, memory and work of every stage, by arithmetic.

Facts in, estimates out. Each formula follows what the stage's code writes and holds, and its
docstring says so. Time is not here: work over a rate that this machine was measured at
(`rowgraph.costs.throughput`) gives hours. What is assumed and how far to trust it:
docs/decisions/costs.md.

Legend: N rows, D width of a vector, H width of SAGE, P parameters, T tokens. Disk and memory are
in bytes, fp32 has 4 of them.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from rowgraph.costs.model_shape import ModelShape
from rowgraph.costs.rates import Work
from rowgraph.costs.sizes import (
    COMPRESSED,
    DatabaseFacts,
    Facts,
    Figure,
    nodes_a_seed,
    row_bytes,
    weaker,
)
from rowgraph.profiles import Profile
from rowgraph.rows.sampling import water_fill

LIGHT, HEAVY = 0.5e9, 1.2e9  # the process without torch, and with it: demo's assets, small data
NPY_HEADER = 128
SHARD = 16_384  # rows, of `write_embeddings`
HELD_BYTES = 2 << 30  # `adaptation.vectors.HELD_BYTES`
BATCHES_AT_ONCE = 4  # `sage.inputs.AHEAD` waiting, one in the making, one in use
FORWARD_SHARE = 1 / 3  # a forward pass of a step's forward and backward
NOTHING = Figure(0)


@dataclass(frozen=True)
class Estimate:
    """What one asset costs.

    Args:
        disk: bytes that stay.
        meanwhile: bytes on top of that while it is made: resumable state and copies.
        host: peak memory but for `device`.
        device: peak memory of what is computed with: the GPU's, or the host's where there is none.
        work: None where the time is short or not ours (a download).
    """

    disk: Figure
    host: Figure
    meanwhile: Figure = NOTHING
    device: Figure = NOTHING
    work: Work | None = None


class _Unknown(Exception):
    """A fact is missing, and with it the estimate."""


def estimate(stage: str, profile: Profile, facts: Facts, database: str | None = None,
             task: str | None = None, *, on_gpu: bool = False,
             cores: int = 1) -> Estimate | None:
    """The costs of one asset.

    Args:
        stage: its name.
        profile: of the run.
        facts: sizes.
        database, task: of the asset, where it has one.
        on_gpu: whether a GPU computes. Without one, dropout on attention weights keeps the
            weights of every pair of tokens, which a GPU's kernels never write out.
        cores: of the processor, each of which encodes a batch.

    Returns:
        None where there is no formula for the stage, or a fact is not known.
    """
    if stage not in _FORMULAS:
        return None
    try:
        return _FORMULAS[stage](_World(profile, facts, database, task, on_gpu, cores))
    except _Unknown:
        return None


@dataclass(frozen=True)
class _World:
    """The arguments of a formula, and what several of them ask."""

    profile: Profile
    facts: Facts
    name: str | None
    task: str | None
    on_gpu: bool
    cores: int

    @property
    def database(self) -> DatabaseFacts:
        return self.of(self.name)

    @property
    def shape(self) -> ModelShape:
        if self.facts.shape is None:
            raise _Unknown
        return self.facts.shape

    def drawn_rows(self, name: str | None) -> Figure:
        """Rows of a database in the corpus: an even share, and what others cannot give."""
        rows = {d.name: self.of(d.name).rows for d in self.profile.by_role("pretrain")}
        shares = water_fill({n: round(r.value) for n, r in rows.items()},
                            self.profile.sampled_rows.rows)
        return Figure(shares[name], weaker(*(r.basis for r in rows.values())))

    @property
    def corpus_rows(self) -> Figure:
        return sum((self.drawn_rows(d.name) for d in self.profile.by_role("pretrain")), NOTHING)

    @property
    def pretrain(self) -> list[DatabaseFacts]:
        return [self.of(d.name) for d in self.profile.by_role("pretrain")]

    def of(self, name: str | None) -> DatabaseFacts:
        if name is None or (found := self.facts.databases.get(name)) is None:
            raise _Unknown
        return found

    def sample(self, rows: Figure | float) -> Figure:
        """Bytes of rows as texts in memory."""
        return rows * row_bytes(self.facts.tokens_a_row)


def _source(world: _World) -> Estimate:
    """A copy of the database. Checking and truncating stream the tables and hold keys: eight
    bytes a row for some five arrays (row numbers, their digests, order, keys, times)."""
    facts = world.database
    return Estimate(facts.disk, LIGHT + facts.largest * Figure(40, "assumed"))


def _sampled_rows(world: _World) -> Estimate:
    """Parquet of the share; in memory the drawn rows, and for each row of a table its number, its
    place in the queue and its order, 24 bytes."""
    drawn = world.sample(world.drawn_rows(world.name))
    return Estimate(drawn * COMPRESSED, LIGHT + drawn + world.database.largest * 24)


def _linearized_corpus(world: _World) -> Estimate:
    """Parquet of texts; held three times: pieces, their concatenation, what is looked up."""
    text = world.sample(world.corpus_rows)
    return Estimate(text * COMPRESSED, LIGHT + 3 * text)


def _bart_checkpoint(world: _World) -> Estimate:
    """Fine-tuning with AdamW.

    Disk: the weights in fp32, 4 P, stay, with a tokenizer of some 70 bytes an entry. Meanwhile a
    checkpoint holds weights and two moments, 12 P; its successor is written before it goes, and
    `best-<step>` is another 4 P: 28 P.

    Memory: weights, gradients and two moments in fp32, 16 P, also under autocast; and the
    activations of `device_batch` rows of `max_tokens` (`ModelShape.activation_bytes`).

    Work: tokens of the training rows, and a third of those of the validation rows, every epoch.
    """
    s, shape, corpus = world.profile.bart_checkpoint, world.shape, world.profile.linearized_corpus
    P, T = shape.parameters, world.facts.tokens_a_row.at_most(s.max_tokens)
    shares = corpus.train + FORWARD_SHARE * corpus.validation
    batch = min(s.device_batch, s.effective_batch)
    activations = shape.activation_bytes(batch, s.max_tokens, half=s.precision == "bf16",
                                         quadratic=not world.on_gpu)
    texts = world.sample(world.corpus_rows)
    return Estimate(
        disk=Figure(4 * P) + Figure(70 * shape.vocabulary, "assumed"),
        meanwhile=Figure(28 * P), host=HEAVY + 2 * texts,
        device=Figure(16 * P + activations, "assumed"),
        work=Work(world.corpus_rows * T * shares * s.epochs, "trained_tokens"))


def _node_embeddings(world: _World) -> Estimate:
    """Encoding.

    Disk: N vectors of D numbers, and meanwhile a byte a row.

    Memory: 24 bytes a row of a table say where each text stands first, and twice that while this
    is found out; a shard of texts some three times (cells, texts, the new ones); on the device
    the weights of the whole checkpoint and for each worker a layer's activations of
    `batch_tokens`. Mapped files are the operating system's to drop and do not count.

    Work: tokens of distinct texts.
    """
    s, facts, shape = world.profile.node_embeddings, world.database, world.shape
    vector = shape.d_model * (2 if s.dtype == "float16" else 4)
    number = 2 if s.precision == "bf16" else 4
    distinct = facts.distinct or facts.rows * Figure(1, "assumed")
    tokens = world.facts.tokens_a_row.at_most(world.profile.bart_checkpoint.max_tokens)
    workers = 1 if world.on_gpu else s.workers or world.cores
    layer = workers * s.batch_tokens * (6 * shape.d_model + 2 * shape.ffn_dim)
    return Estimate(
        disk=facts.rows * vector + facts.tables * NPY_HEADER + 8 * shape.d_model,
        meanwhile=facts.rows,
        host=HEAVY + facts.largest * 48 + 3 * world.sample(facts.largest.at_most(SHARD)),
        device=Figure(number * (shape.parameters + layer), "assumed"),
        work=Work(distinct * tokens, "encoded_tokens"))


def _entity_graph(world: _World) -> Estimate:
    """int64 arrays, as `EntityGraph.save` writes them: a time a row; for each foreign key and
    direction a pointer for each row it leads to and one more, and an index an edge. In memory
    that, and the keys and the order of a table."""
    facts = world.database
    arrays = facts.rows * 8 + facts.edge_ends * 8 + facts.edges * 16
    return Estimate(arrays + facts.tables * 2 * NPY_HEADER,
                    LIGHT + arrays + facts.largest * Figure(40, "assumed"))


def _sage_weights(world: _World) -> Estimate:
    """Pre-training.

    Disk: projections, shared layers and decoder in fp32; meanwhile these with Adam's two
    moments, twice while a state replaces the one before.

    Memory: two int64 for every node (its split, its place in the epoch) and four batches
    (`BATCHES_AT_ONCE`) of `nodes_a_seed` vectors, at most a database's; vectors are mapped. On
    the device 16 P and one batch: vectors, four widths H a node, eight widths D a seed.

    Work: seeds of every epoch; scored ones count like trained ones, for drawing and reading
    neighbours is the larger part of both.
    """
    s, D = world.profile.sage_weights, world.shape.d_model
    tables = sum((facts.tables for facts in world.pretrain), NOTHING)
    parameters = (tables * ((D + 1) * s.hidden) + s.layers * (2 * s.hidden + 1) * s.hidden
                  + (s.hidden + 1) * D)
    nodes = sum((facts.rows for facts in world.pretrain), NOTHING)
    batch = max((_batch_nodes(facts, s.batch, s.fan_out) for facts in world.pretrain),
                key=lambda figure: figure.value)
    on_device = batch * (D + 4 * s.hidden) + s.batch * 8 * D
    seeds = NOTHING
    for facts in world.pretrain:
        trained = facts.rows * (1 - s.validation - s.test)
        trained = trained.at_most(s.seeds_per_epoch) if s.seeds_per_epoch else trained
        share = 1 / (1 - s.validation - s.test)
        seeds += trained * (s.epochs * (1 + s.validation * share) + s.test * share)
    return Estimate(
        disk=parameters * 4, meanwhile=parameters * 24,
        host=HEAVY + nodes * 16 + batch * (4 * D * BATCHES_AT_ONCE),
        device=(parameters * 16 + on_device * 4) * Figure(1, "assumed"),
        work=Work(seeds, "trained_seeds"))


def _batch_nodes(facts: DatabaseFacts, batch: int, fan_out: tuple[int, ...]) -> Figure:
    nodes = nodes_a_seed(facts.edges_a_row, fan_out)
    drawn = Figure(min(batch, facts.rows.value) * nodes, "assumed")
    return drawn.at_most(facts.rows)


def _downstream_metrics(world: _World) -> Estimate:
    """Choices on folds and final fits of every variant, seed and language model
    (`adaptation.choosing`).

    Disk: predictions, some 12 bytes a scored row, variant, regime and seed. Meanwhile raw answers
    of every epoch to validation rows, 4 bytes each, and for processes the vectors in fp32.

    Memory: in every process the vectors, held in fp32 up to `HELD_BYTES`, once BART's and once
    random; a batch of disjoint trees (nothing is shared between seeds).

    Work: label rows trained on and scored by variants with a GNN; a head alone is quick. The
    reference tries every candidate on every fold, the others those that were chosen, at most one
    a regime; every seed is trained on the newest fold and on all that is known. On folds the rows
    are scored every epoch, test rows once.
    """
    s = world.profile.of_task("downstream_metrics", world.name or "", world.task or "")
    facts, D = world.database, world.shape.d_model
    labels = facts.label_rows(world.task or "")
    most = s.train_rows or float("inf")
    train = labels["train"].at_most(most)
    fitted = train if s.final_fit == "train" else (labels["train"] + labels["val"]).at_most(most)
    regimes, barts = len(s.regimes), len(world.profile.bart_checkpoint.all_seeds)
    chosen = min(max(1, len(s.candidates)), regimes)
    gnns = [v for v in s.variants if "gnn" in v]
    models = sum(1 if v.startswith("random") else barts for v in gnns)
    on_folds = s.folds * (max(1, len(s.candidates)) + max(0, len(gnns) - 1) * chosen)
    further = max(0, models * len(s.seeds) - len(gnns)) * chosen
    finals = models * len(s.seeds) * chosen
    work = ((train + labels["val"] * (regimes / chosen)) * (s.epochs * (on_folds + further))
            + (fitted * s.epochs + labels["test"] * (regimes / chosen)) * finals)
    scored = (labels["val"] + labels["test"]) * (regimes * len(s.seeds) * len(s.variants) * barts)
    raw = labels["val"] * (4 * s.epochs * regimes * (on_folds + further))
    held = facts.rows * (4 * D)
    held = held if held.value <= HELD_BYTES else held * 0
    processes = 1 if world.on_gpu else s.workers or world.cores
    nodes = Figure(s.batch * nodes_a_seed(facts.edges_a_row, s.fan_out, entity=True), "assumed")
    batch = nodes * (4 * (D + 6 * world.profile.sage_weights.hidden))
    return Estimate(
        disk=scored * Figure(12, "assumed"),
        meanwhile=scored * Figure(12, "assumed") + raw + held * (barts if processes > 1 else 0),
        host=(HEAVY + 2 * held) * (processes if processes == 1 else processes + 1),
        device=batch * processes, work=Work(work, "adapted_labels"))


def _transfer_metrics(world: _World) -> Estimate:
    """As `_downstream_metrics` in one process, for each pre-training, variant and share, and once
    without any; nothing is chosen, and nothing but a table of scores stays."""
    profile = world.profile
    s = profile.of_task("transfer_metrics", world.name or "", world.task or "")
    facts = world.database
    labels = facts.label_rows(world.task or "")
    train = labels["train"].at_most(s.train_rows or labels["train"].value)
    one = _downstream_metrics(replace(world, cores=1))
    trainings = len(s.shares) * len(s.seeds) * (1 + len(s.variants) * (1 + len(profile.sage_sweep)))
    work = (train * s.epochs + (labels["val"] + labels["test"]) * len(s.regimes)) * trainings
    return Estimate(disk=Figure(0.1e6, "assumed"), meanwhile=Figure(200 * trainings, "assumed"),
                    host=one.host, device=one.device, work=Work(work, "adapted_labels"))


def _baseline_metrics(world: _World) -> Estimate:
    """Baselines: predictions on disk; in memory the database's rows as a table and features."""
    facts, s = world.database, world.profile.baseline_metrics
    labels = facts.label_rows(world.task or "")
    scored = (labels["val"] + labels["test"]) * (len(s.regimes) * len(s.seeds))
    return Estimate(scored * Figure(12, "assumed"), LIGHT + 2 * world.sample(facts.largest))


def _window_features(world: _World) -> Estimate:
    """Every view of the label rows, float32, compressed; in memory the largest table's events and
    a view. Known rows are written twice, fresh and aged, the others once a regime."""
    s = world.profile.of_task("window_features", world.name or "", world.task or "")
    labels = world.database.label_rows(world.task or "")
    cells = sum(labels.values(), NOTHING) * (2 * Figure(s.max_features, "assumed"))
    return Estimate(4 * COMPRESSED * cells, LIGHT + 4 * cells
                    + 2 * world.sample(world.database.largest))


def _peer_metrics(world: _World) -> Estimate:
    """Predictions; in memory the database's columns as tensors. Not measured: no rate."""
    return Estimate(Figure(1e6, "assumed"), HEAVY + 2 * world.sample(world.database.largest))


def _evaluation(world: _World) -> Estimate:
    """Predictions of the test rows and figures; in memory the resamples of the test rows."""
    test = world.database.label_rows(world.task or "")["test"]
    s = world.profile.of_task("evaluation", world.name or "", world.task or "")
    return Estimate(test * Figure(300, "assumed"), LIGHT + test * Figure(
        16 * min(s.bootstrap, 1000), "assumed").at_most(1e5))


def _row_map(world: _World) -> Estimate:
    """Two maps of some rows, and their pairwise similarities in memory."""
    rows = world.profile.row_map.rows
    return Estimate(Figure(50 * rows, "assumed"), HEAVY + Figure(8 * rows * rows, "assumed"))


def _imputation_metrics(world: _World) -> Estimate:
    """Cells of every column, answered by three methods at some 100 bytes each. In memory the rows
    of a table that baselines are fitted on; on the device the weights.

    Work: a cell's row is encoded, and a generated token counted like two encoded ones, for a
    decoder layer attends twice. Generation fills a device less than encoding, so it takes longer.
    """
    s, shape = world.profile.imputation_metrics, world.shape
    cells = world.database.columns * s.rows_per_column
    tokens = world.facts.tokens_a_row.at_most(shape.positions) + 2 * s.max_new_tokens
    return Estimate(
        disk=cells * Figure(300, "assumed"),
        host=HEAVY + 3 * world.sample(world.database.largest),
        device=Figure(4 * shape.parameters, "assumed"),
        work=Work(cells * tokens * Figure(1, "assumed"), "encoded_tokens"))


def _report(world: _World) -> Estimate:
    """A page with its figures."""
    return Estimate(Figure(0.5e6, "assumed"), Figure(HEAVY))


_FORMULAS = {
    "source": _source,
    "sampled_rows": _sampled_rows,
    "linearized_corpus": _linearized_corpus,
    "bart_checkpoint": _bart_checkpoint,
    "node_embeddings": _node_embeddings,
    "entity_graph": _entity_graph,
    "sage_weights": _sage_weights,
    "sage_sweep": _sage_weights,  # what a pre-training changes hardly moves its cost
    "transfer_metrics": _transfer_metrics,
    "downstream_metrics": _downstream_metrics,
    "baseline_metrics": _baseline_metrics,
    "window_features": _window_features,
    "peer_metrics": _peer_metrics,
    "evaluation": _evaluation,
    "row_map": _row_map,
    "imputation_metrics": _imputation_metrics,
    "report": _report,
}
