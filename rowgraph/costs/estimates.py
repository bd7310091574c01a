"""What a profile costs before it runs: disk, memory and work of every stage, by arithmetic.

Facts in, estimates out. Each formula follows what the stage's code writes and holds, and its
docstring says so. Time is not here: work over a rate that this machine was measured at
(`rowgraph.costs.throughput`) gives hours. What is assumed and how far to trust it:
docs/decisions/costs.md.

Legend: N rows, D width of a vector, H width of SAGE, P parameters, T tokens. Disk and memory are
in bytes, fp32 has 4 of them.
"""

from __future__ import annotations

from rowgraph.costs import task_estimates as tasks
from rowgraph.costs.rates import Work
from rowgraph.costs.sizes import COMPRESSED, Facts, Figure
from rowgraph.costs.world import HEAVY, LIGHT, NOTHING, Estimate, Unknown, World, batch_nodes
from rowgraph.profiles import Profile

NPY_HEADER = 128
SHARD = 16_384  # rows, of `write_embeddings`
BATCHES_AT_ONCE = 4  # `sage.inputs.AHEAD` waiting, one in the making, one in use
FORWARD_SHARE = 1 / 3  # a forward pass of a step's forward and backward


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
        return _FORMULAS[stage](World(profile, facts, database, task, on_gpu, cores))
    except Unknown:
        return None


def _source(world: World) -> Estimate:
    """A copy of the database. Checking and truncating stream the tables and hold keys: eight
    bytes a row for some five arrays (row numbers, their digests, order, keys, times)."""
    facts = world.database
    return Estimate(facts.disk, LIGHT + facts.largest * Figure(40, "assumed"))


def _sampled_rows(world: World) -> Estimate:
    """Parquet of the share; in memory the drawn rows, and for each row of a table its number, its
    place in the queue and its order, 24 bytes."""
    drawn = world.sample(world.drawn_rows(world.name))
    return Estimate(drawn * COMPRESSED, LIGHT + drawn + world.database.largest * 24)


def _linearized_corpus(world: World) -> Estimate:
    """Parquet of texts; held three times: pieces, their concatenation, what is looked up."""
    text = world.sample(world.corpus_rows)
    return Estimate(text * COMPRESSED, LIGHT + 3 * text)


def _bart_checkpoint(world: World) -> Estimate:
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


def _node_embeddings(world: World) -> Estimate:
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


def _entity_graph(world: World) -> Estimate:
    """int64 arrays, as `EntityGraph.save` writes them: a time a row; for each foreign key and
    direction a pointer for each row it leads to and one more, and an index an edge. In memory
    that, and the keys and the order of a table."""
    facts = world.database
    arrays = facts.rows * 8 + facts.edge_ends * 8 + facts.edges * 16
    return Estimate(arrays + facts.tables * 2 * NPY_HEADER,
                    LIGHT + arrays + facts.largest * Figure(40, "assumed"))


def _sage_weights(world: World) -> Estimate:
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
    batch = max((batch_nodes(facts, s.batch, s.fan_out) for facts in world.pretrain),
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


_FORMULAS = {
    "source": _source,
    "sampled_rows": _sampled_rows,
    "linearized_corpus": _linearized_corpus,
    "bart_checkpoint": _bart_checkpoint,
    "node_embeddings": _node_embeddings,
    "entity_graph": _entity_graph,
    "sage_weights": _sage_weights,
    "sage_sweep": _sage_weights,  # what a pre-training changes hardly moves its cost
    "transfer_metrics": tasks.transfer_metrics,
    "downstream_metrics": tasks.downstream_metrics,
    "cell_store": tasks.cell_store,
    "forecast_weights": tasks.forecast_weights,
    "own_past_weights": tasks.own_past_weights,
    "rowgraph_metrics": tasks.rowgraph_metrics,
    "adapted_model": tasks.adapted_model,
    "predictions": tasks.predictions,
    "baseline_metrics": tasks.baseline_metrics,
    "window_features": tasks.window_features,
    "peer_metrics": tasks.peer_metrics,
    "evaluation": tasks.evaluation,
    "row_map": tasks.row_map,
    "imputation_metrics": tasks.imputation_metrics,
    "report": tasks.report,
}
