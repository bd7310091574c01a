"""The costs of the stages of a task and of what is shown of them: disk, memory and work.

Each formula follows what the stage's code writes and holds, and its docstring says so
(`rowgraph.costs.estimates`).
"""

from __future__ import annotations

from dataclasses import replace

from rowgraph.adaptation.settings import DownstreamMetricsSettings
from rowgraph.adaptation.variants import variant
from rowgraph.costs.rates import Work
from rowgraph.costs.sizes import COMPRESSED, Figure, nodes_a_seed
from rowgraph.costs.world import HEAVY, LIGHT, NOTHING, Estimate, World

HELD_BYTES = 2 << 30  # `adaptation.vectors.HELD_BYTES`


def downstream_metrics(world: World) -> Estimate:
    """Choices on folds and final fits of every variant, seed and language model
    (`adaptation.choosing`).

    Disk: predictions, some 12 bytes a scored row, variant, regime and seed. Meanwhile raw answers
    of every epoch to validation rows, 4 bytes each, and for processes the vectors in fp32.

    Memory: in every process the vectors, held in fp32 up to `HELD_BYTES`, once BART's and once
    random; a batch of disjoint trees (nothing is shared between seeds).

    Work: label rows trained on and scored by variants with a GNN; a head alone is quick. The
    reference tries every candidate on every fold, the others those that were chosen, at most one
    a regime; every seed is trained on the newest fold and on all that is known. On folds the rows
    are scored every epoch, test rows once. A variant that trains the language model encodes texts
    besides (`_jointly_encoded`).
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
        device=batch * processes, work=Work(work, "adapted_labels"),
        also=_jointly_encoded(world, s) if any(variant(v).joint for v in s.variants) else None)


def _jointly_encoded(world: World, s: DownstreamMetricsSettings) -> Work:
    """Tokens of a variant that trains the language model (`adaptation.joint.vectors`).

    A step encodes `joint.texts` rows, of which the way back takes twice as long again at most.
    Whatever is scored is encoded: the rows around the scored label rows, each once.
    """
    facts, labels = world.database, world.database.label_rows(world.task or "")
    train = labels["train"].at_most(s.train_rows or labels["train"].value)
    around = nodes_a_seed(facts.edges_a_row, s.fan_out, entity=True)
    chosen = min(max(1, len(s.candidates)), len(s.regimes))
    trained = len(world.profile.bart_checkpoint.all_seeds) * len(s.seeds)
    on_folds = (s.folds - 1 + trained) * chosen
    regimes = len(s.regimes) / chosen
    drawn = train * (3 * s.joint.texts / s.batch * s.epochs * (on_folds + trained * chosen))
    scored = ((labels["val"] * around).at_most(facts.rows) * (s.epochs * on_folds)
              + (labels["test"] * around).at_most(facts.rows) * (trained * chosen)) * regimes
    tokens = world.facts.tokens_a_row.at_most(world.shape.positions)
    return Work((drawn + scored) * tokens * Figure(1, "assumed"), "encoded_tokens")


def transfer_metrics(world: World) -> Estimate:
    """As `downstream_metrics` in one process, for each pre-training, variant and share, and once
    without any; nothing is chosen, and nothing but a table of scores stays."""
    profile = world.profile
    s = profile.of_task("transfer_metrics", world.name or "", world.task or "")
    facts = world.database
    labels = facts.label_rows(world.task or "")
    train = labels["train"].at_most(s.train_rows or labels["train"].value)
    one = downstream_metrics(replace(world, cores=1))
    trainings = len(s.shares) * len(s.seeds) * (1 + len(s.variants) * (1 + len(profile.sage_sweep)))
    work = (train * s.epochs + (labels["val"] + labels["test"]) * len(s.regimes)) * trainings
    return Estimate(disk=Figure(0.1e6, "assumed"), meanwhile=Figure(200 * trainings, "assumed"),
                    host=one.host, device=one.device, work=Work(work, "adapted_labels"))


def baseline_metrics(world: World) -> Estimate:
    """Baselines: predictions on disk, and meanwhile the window features uncompressed. In every
    process the largest table, and the features of the rows fitted on, as they are and in bins."""
    facts = world.database
    s = world.profile.of_task("baseline_metrics", world.name or "", world.task or "")
    labels = facts.label_rows(world.task or "")
    scored = (labels["val"] + labels["test"]) * (len(s.regimes) * len(s.seeds))
    one = (LIGHT + 2 * world.sample(facts.largest) + _fitted_features(world, s.fit_rows))
    processes = s.workers or world.cores
    return Estimate(scored * Figure(12, "assumed"),
                    one * (processes + 1 if processes > 1 else 1),
                    meanwhile=4 * _feature_cells(world))


def _feature_cells(world: World) -> Figure:
    """Numbers of all views of a task's window features. Known rows are there twice, fresh and aged,
    the others once a regime."""
    s = world.profile.of_task("window_features", world.name or "", world.task or "")
    labels = world.database.label_rows(world.task or "")
    return sum(labels.values(), NOTHING) * (2 * Figure(s.max_features, "assumed"))


def _fitted_features(world: World, most: int | None) -> Figure:
    """Bytes of the window features of the rows that are fitted on, three times: some, their ranks,
    bins."""
    s = world.profile.of_task("window_features", world.name or "", world.task or "")
    labels = world.database.label_rows(world.task or "")
    rows = (labels["train"] + labels["val"]).at_most(most or float("inf"))
    return rows * (3 * 4 * Figure(s.max_features, "assumed"))


def window_features(world: World) -> Estimate:
    """Every view of the label rows, float32, compressed; in memory the largest table's events and
    a view."""
    cells = _feature_cells(world)
    return Estimate(4 * COMPRESSED * cells, LIGHT + 4 * cells
                    + 2 * world.sample(world.database.largest))


def peer_metrics(world: World) -> Estimate:
    """Predictions; in memory the database's columns as tensors. Not measured: no rate."""
    return Estimate(Figure(1e6, "assumed"), HEAVY + 2 * world.sample(world.database.largest))


def evaluation(world: World) -> Estimate:
    """Predictions of the test rows and figures; in memory the resamples of the test rows."""
    test = world.database.label_rows(world.task or "")["test"]
    s = world.profile.of_task("evaluation", world.name or "", world.task or "")
    return Estimate(test * Figure(300, "assumed"), LIGHT + test * Figure(
        16 * min(s.bootstrap, 1000), "assumed").at_most(1e5))


def row_map(world: World) -> Estimate:
    """Two maps of some rows, and their pairwise similarities in memory."""
    rows = world.profile.row_map.rows
    return Estimate(Figure(50 * rows, "assumed"), HEAVY + Figure(8 * rows * rows, "assumed"))


def imputation_metrics(world: World) -> Estimate:
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


def report(world: World) -> Estimate:
    """A page with its figures."""
    return Estimate(Figure(0.5e6, "assumed"), Figure(HEAVY))


def cell_store(world: World) -> Estimate:
    """Two bytes a number or code, eight a time. In memory one column and a piece."""
    facts = world.database
    a_row = max(1.0, facts.columns.value / max(facts.tables.value, 1))
    cells = facts.rows * Figure(4 * a_row, "assumed")
    return Estimate(cells, LIGHT + facts.largest * Figure(40, "assumed"))


def forecast_weights(world: World) -> Estimate:
    """The weights; in memory every database as `own_past_weights` holds one, and some 3 MB for
    each synthetic one, whose files lie in the state meanwhile."""
    s = world.profile.forecast_weights
    held = sum((facts.edges * Figure(12 * 6 + 24, "assumed") for facts in world.pretrain), NOTHING)
    parameters = 10_000 * s.width + 300 * s.output
    return Estimate(Figure(4 * parameters, "assumed"),
                    HEAVY + held + Figure(3e6 * s.synthetic, "assumed"),
                    meanwhile=Figure(16 * parameters + 1.5e6 * s.synthetic, "assumed"))


def own_past_weights(world: World) -> Estimate:
    """Some half a million parameters for each seed and end; in every process graph, cells and the
    running totals of the children's columns, some 12 bytes a cell."""
    s, facts = world.profile.own_past_weights, world.database
    parameters = 10_000 * s.width + 300 * s.output
    held = facts.edges * Figure(12 * 6 + 24, "assumed")
    processes = 1 if world.on_gpu else world.cores
    nodes = Figure(s.batch * nodes_a_seed(facts.edges_a_row, s.fan_out), "assumed")
    return Estimate(
        disk=Figure(4 * parameters * 3 * len(s.seeds), "assumed"),
        meanwhile=Figure(16 * parameters, "assumed"),
        host=(HEAVY + held) * (processes + 1 if processes > 1 else 1),
        device=nodes * (4 * 12 * s.width) * processes)


def rowgraph_metrics(world: World) -> Estimate:
    """Predictions, and meanwhile the window features uncompressed. In every process what
    `own_past_weights` holds, and vectors and window features of the rows fitted on; every label
    row's vector by every encoder and view lies in one or the other. A recommendation reads no
    window features and runs in one process; its pairs (some 150 kB a label row fitted on or asked,
    at most some thousands of rows) take the place of both, and answers to candidates (some 10 kB a
    label row asked, and 20 kB a regime for each by which choices are made) of what lies on disk
    meanwhile."""
    s = world.profile.of_task("rowgraph_metrics", world.name or "", world.task or "")
    return _hybrid(world, s.workers)


def _hybrid(world: World, workers: int | None) -> Estimate:
    profile = world.profile
    s = profile.of_task("rowgraph_metrics", world.name or "", world.task or "")
    labels = sum(world.database.label_rows(world.task or "").values(), NOTHING)
    encoders = s.untrained + len(profile.own_past_weights.seeds)
    vectors = labels * (4 * 4 * encoders * profile.own_past_weights.output)
    past = own_past_weights(world)
    processes = 1 if world.on_gpu else workers or world.cores
    features = _fitted_features(world, s.fit_rows) * (processes + 1 if processes > 1 else 1)
    return Estimate(labels * Figure(60 * len(s.seeds), "assumed"), past.host + vectors + features,
                    meanwhile=4 * _feature_cells(world), device=past.device)


def adapted_model(world: World) -> Estimate:
    """What `rowgraph_metrics` holds; on disk trees, linear paths, and the weights of own past and
    of fine-tuning, some 10 MB a seed."""
    asked = world.name or "", world.task or ""
    s = world.profile.of_task("rowgraph_metrics", *asked)
    made = _hybrid(world, world.profile.of_task("adapted_model", *asked).workers)
    return Estimate(Figure(10e6 * len(s.seeds), "assumed"), made.host, meanwhile=made.meanwhile,
                    device=made.device)


def predictions(world: World) -> Estimate:
    """In memory what own past reads, and window features of one date: of everybody who is asked,
    taken for as many as a split's label rows."""
    labels = world.database.label_rows(world.task or "")
    asked = max(labels.values(), key=lambda figure: figure.value, default=NOTHING)
    features = world.profile.of_task("window_features", world.name or "", world.task or "")
    past = own_past_weights(world)
    return Estimate(asked * Figure(60, "assumed"),
                    past.host + asked * (4 * 2 * features.max_features), device=past.device)
