"""Pre-training of the shared GraphSAGE layers by masked value reconstruction (Section 4.3.2).

Nothing here is predicted from the past, so neighbours are drawn by static uniform sampling, as in
the paper; the held-out database is not among the databases and cannot leak.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from rowgraph.artifacts import Draft, write_json
from rowgraph.encoding.precision import usable_precision
from rowgraph.parallel.group import ALONE, Group
from rowgraph.progress import Log
from rowgraph.randomness import torch_generator
from rowgraph.sage.graph_use import (
    TableYardsticks,
    graph_use,
    graph_use_frame,
    with_other_neighbours,
)
from rowgraph.sage.inputs import InputMaker, Inputs, PretrainDatabase
from rowgraph.sage.model import HeteroGraphSAGE, initialize
from rowgraph.sage.objective import masked_reconstruction_loss, squared_errors
from rowgraph.sage.seeds import PretrainingError, SeedPlan, Seeds
from rowgraph.sage.settings import SageWeightsSettings
from rowgraph.sage.yardsticks import mean_of

CENTRE_ROWS = 10_000  # of a table whose mean is the origin of its deviations, at most (about)
FIGURES = ("loss", "cosine", "mse", "mse_sum", "n")  # of a batch; means over n nodes
POSITION = ("epoch", "position", "step", "sums", "curves")  # what a resumed run has to know


def pretrain(databases: Sequence[PretrainDatabase], settings: SageWeightsSettings, draft: Draft, *,
             device: str, log: Log, group: Group = ALONE) -> dict[str, Any]:
    """Train projections, shared convolutions and decoder; write them below the draft.

    Writes `shared.safetensors` (what transfers), `projections.safetensors`, `decoder.safetensors`,
    `config.json`, `curves.json`, `test.json` and `graph_use.parquet`. An interrupted call is
    continued by the next one with the same draft, on the CPU to the same bytes as an uninterrupted
    one.

    Args:
        databases: those of role `pretrain`.
        settings: of the stage.
        draft: where to write; its `state` holds weights, optimizer and position meanwhile.
        device: as torch names it.
        log: called after every step and every epoch.
        group: of workers, each of which works on its part of every batch; the first one writes.

    Returns:
        The summary: test errors, what they are worth beside answers that do not look at the
        graph (`rowgraph.sage.graph_use`), sizes; empty in every worker but the first.

    Raises:
        PretrainingError: no database, embeddings of different widths, or nothing to train on.
    """
    return _Pretraining(databases, settings, draft, device, log, group).run()


def load_shared(folder: Path) -> dict[str, Tensor]:
    """The convolutions of a finished pre-training, for `HeteroGraphSAGE.load_shared`.

    Raises:
        PretrainingError: the folder has none.
    """
    path = folder / "shared.safetensors"
    if not path.exists():
        raise PretrainingError(f"{path} is missing; build the sage_weights artifact first")
    return load_file(path)


class _Pretraining:
    """One pre-training: what it is made of, and how far it is."""

    def __init__(self, databases: Sequence[PretrainDatabase], settings: SageWeightsSettings,
                 draft: Draft, device: str, log: Log, group: Group):
        self.settings, self.draft, self.device, self.log = settings, draft, device, log
        self.group = group
        self.inputs = InputMaker(databases, settings, device)
        self.plan = SeedPlan({d.name: d.graph for d in databases}, settings)
        self.model = HeteroGraphSAGE(
            self.inputs.dim, [f"{d.name}/{t}" for d in databases for t in d.graph.node_types],
            settings.hidden, settings.layers, settings.edge_type_reduce,
            projections=settings.projections)
        self.decoder = nn.Linear(settings.hidden, self.inputs.dim)
        initialize(self.model, torch_generator("sage_weights", "model", settings.seed))
        initialize(self.decoder, torch_generator("sage_weights", "decoder", settings.seed))
        self.parameters = [*self.model.to(device).parameters(),
                           *self.decoder.to(device).parameters()]
        self.optimizer = torch.optim.Adam(self.parameters, lr=settings.learning_rate)
        self.precision = usable_precision(settings.precision, device)
        self.origins: dict[tuple[str, str], Tensor] = {}
        self.epoch, self.position, self.step, self.steps = 0, 0, 0, 0
        self.sums: dict[str, float] = {}
        self.curves: list[dict[str, float]] = []
        self.consistent = True
        self.saved_at = time.monotonic()

    def run(self) -> dict[str, Any]:
        """Train from where the last call stopped, test and write."""
        self._resume()
        try:
            while self.epoch < self.settings.epochs:
                self._train_epoch()
                self._close_epoch()
            self._save()  # whatever stops what follows trains nothing again
            return self._publish() if self.group.is_writer else {}
        except BaseException:
            if self.consistent:
                self._save()
            raise

    def _train_epoch(self) -> None:
        whole = self.plan.epoch(self.epoch)
        plan, self.steps = whole[self.position:], len(whole) * self.settings.epochs
        what = [(self.epoch, self.position + i) for i in range(len(plan))]
        with closing(self.inputs.ahead(plan, what, self.group)) as batches:
            for inputs in batches:
                loss, figures = self._loss(inputs)
                self.optimizer.zero_grad(set_to_none=True)
                loss.backward()
                self.group.mean_gradients(self.parameters, figures["n"])
                figures = self.group.means(figures)
                self.consistent = False  # interrupted before it is True again: keep the old state
                self.optimizer.step()
                self.position += 1
                self.step += 1
                _add(self.sums, figures)
                self.consistent = True
                self.log(self.step, {f"train_{k}": v for k, v in figures.items() if k != "n"},
                         self.steps)
                if time.monotonic() - self.saved_at >= self.settings.save_seconds:
                    self._save()

    def _close_epoch(self) -> None:
        scored = self._score("validation", self.group)
        validation = {f"validation_{k}": v for k, v in scored.items()}
        train = {f"train_{k}": v for k, v in _means(self.sums).items()}
        self.consistent = False
        self.curves.append({"epoch": self.epoch + 1, **train, **validation})
        self.epoch, self.position, self.sums = self.epoch + 1, 0, {}
        self.consistent = True
        self.log(self.step, validation, self.steps)

    def _loss(self, inputs: Inputs) -> tuple[Tensor, dict[str, float]]:
        s = self.settings
        if not len(inputs.truth):  # of the smallest batches some workers get no part
            return torch.zeros((), requires_grad=True), dict.fromkeys(FIGURES, 0.0)
        x_hat, truth = self._reconstruct(inputs, inputs.x), inputs.truth - self._origin(inputs)
        loss, cosine, mse = masked_reconstruction_loss(x_hat, truth, inputs.mask, s.alpha, s.gamma,
                                                       s.epsilon)
        mse_sum, _ = squared_errors(x_hat.detach(), truth, inputs.mask)
        found = loss.item(), cosine.item(), mse.item(), mse_sum.item(), float(len(x_hat))
        return loss, dict(zip(FIGURES, found, strict=True))

    def _reconstruct(self, inputs: Inputs, x: Mapping[str, Tensor]) -> Tensor:
        """float32 [seeds, dim], relative to the origin of the seeds' table."""
        with torch.autocast(torch.device(self.device).type, torch.bfloat16,
                            enabled=self.precision == "bf16"):
            return self.decoder(self.model(x, inputs.batch)).float()

    def _origin(self, inputs: Inputs) -> Tensor | float:
        """What vectors are deviations from: the mean of the table's training rows, or zero."""
        if self.settings.target == "embedding":
            return 0.0
        where = inputs.seeds.database, inputs.seeds.table
        if where not in self.origins:
            rows = self.plan.nodes[where[0]][where[1]]["train"]
            rows = rows[::max(1, len(rows) // CENTRE_ROWS)]
            self.origins[where] = mean_of(self.inputs.vectors(Seeds(*where, rows))).float()
        return self.origins[where]

    @torch.no_grad()
    def _score(self, split: str, group: Group,
               also: Callable[[Inputs, dict[str, float]], None] | None = None) -> dict[str, float]:
        """Mean figures of a split; its masks and neighbours are the same in every epoch."""
        sums: dict[str, float] = {}
        plan = self.plan.scored(split)
        what = [(split, i) for i in range(len(plan))]
        with closing(self.inputs.ahead(plan, what, group)) as batches:
            for inputs in batches:
                _, figures = self._loss(inputs)
                if also is not None:
                    also(inputs, figures)
                _add(sums, figures)
        return _means(group.sums(sums))

    def _test(self) -> dict[str, Any]:
        """Test errors, overall and by database, beside those that do without the graph."""
        by_database: dict[str, dict[str, float]] = {}
        yardsticks = TableYardsticks(self.inputs, self.plan, self.settings.objective == "cells")

        def compare(inputs: Inputs, figures: dict[str, float]) -> None:
            origin, seeds = self._origin(inputs), inputs.seeds
            shown = inputs.x[inputs.batch.input_type][:len(inputs.truth)]
            answers = yardsticks.of(seeds).answers(shown, inputs.mask)
            x = with_other_neighbours(inputs, seeds.database, seeds.table, int(seeds.rows[0]))
            answers["shuffled"] = self._reconstruct(inputs, x) + origin
            for name, answer in answers.items():
                errors = squared_errors(answer, inputs.truth, inputs.mask)
                figures[f"{name}_mse_sum"], figures[f"{name}_mse"] = (e.item() for e in errors)
            _add(by_database.setdefault(seeds.database, {}), figures)

        tested = self._score("test", ALONE, compare)
        use = graph_use({name: {**_means(sums), "n": sums["n"]}
                         for name, sums in by_database.items()})
        graph_use_frame(use).write_parquet(self.draft.path("graph_use.parquet"))
        return {**{f"test_{name}": v for name, v in tested.items()},
                "test_nodes": int(sum(sums["n"] for sums in by_database.values())),
                "graph_use": use}

    def _publish(self) -> dict[str, Any]:
        tested = self._test()
        for name, state in (("shared", self.model.shared_state_dict()),
                            ("projections", self.model.projection_state_dict()),
                            ("decoder", self.decoder.state_dict())):
            save_file({k: v.cpu().contiguous() for k, v in state.items()},
                      self.draft.path(f"{name}.safetensors"))
        write_json(self.draft.path("config.json"), {
            "in_dim": self.inputs.dim, "hidden": self.settings.hidden,
            "layers": self.settings.layers,
            "edge_type_reduce": self.settings.edge_type_reduce,
            **self.settings.model_dump(mode="json", include={
                "projections", "objective", "target", "mask_probability"}),
            "node_types": list(self.model.node_types)})
        write_json(self.draft.path("curves.json"), self.curves)
        write_json(self.draft.path("test.json"), {
            name: value for name, value in tested.items() if name.startswith("test_")})
        return {**tested, "epochs": self.epoch, "steps": self.step,
                "precision": self.precision,
                "parameters": sum(p.numel() for p in self.parameters),
                "shared_parameters": sum(
                    p.numel() for p in self.model.shared_state_dict().values())}

    def _save(self) -> None:
        if not self.group.is_writer:
            return
        path = self.draft.state / "pretraining.pt"
        torch.save({name: part.state_dict() for name, part in self._parts().items()}
                   | {name: getattr(self, name) for name in POSITION}, path.with_suffix(".part"))
        path.with_suffix(".part").replace(path)
        self.saved_at = time.monotonic()

    def _resume(self) -> None:
        path, state = self.draft.state / "pretraining.pt", None
        if self.group.is_writer and path.exists():
            state = torch.load(path, map_location="cpu", weights_only=True)
        state = self.group.first(state)
        if state is not None:
            for name, part in self._parts().items():
                part.load_state_dict(state[name])
            for name in POSITION:
                setattr(self, name, state[name])

    def _parts(self) -> dict[str, Any]:
        return {"model": self.model, "decoder": self.decoder, "optimizer": self.optimizer}


def _add(sums: dict[str, float], figures: Mapping[str, float]) -> None:
    """Add figures that are means over n nodes."""
    n = figures["n"]
    for name, value in figures.items():
        sums[name] = sums.get(name, 0.0) + (n if name == "n" else n * value)


def _means(sums: Mapping[str, float]) -> dict[str, float]:
    return {name: v / sums["n"] for name, v in sums.items() if name != "n"}
