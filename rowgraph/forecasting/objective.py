"""The head that answers forecast questions, and its loss.

Shapes: q questions, P precedents of each, V channels of the encoder's vectors.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from sklearn.metrics import r2_score, roc_auc_score
from torch import Tensor, nn

from rowgraph.cells.names import NAME_DIM
from rowgraph.cells.store import STATISTICS
from rowgraph.forecasting.names import Names
from rowgraph.forecasting.precedents import Precedents
from rowgraph.forecasting.questions import Asked
from rowgraph.forecasting.reader import PER_HORIZON
from rowgraph.forecasting.relations import EDGE_STATISTICS
from rowgraph.forecasting.told import EXISTS, KINDS, PER_PAST

WEIGHTS = torch.tensor([1.0, 0.5, 2.0])  # of the kinds' losses, so that they are about equal
WIDTH = 128
HEARD = 4  # numbers that precedents come to
KEY = 32  # channels that pasts are compared in


class QuestionHead(nn.Module):
    """Raw answers [q] from rows' vectors and what is asked of them.

    What the told past alone would answer is one term, and what the row adds to it the other, so
    that in a database unlike all others there is still the past to go by. Precedents belong to the
    told past.

    Args:
        output: V.
        precedents: how many each question has; 0 is none.
    """

    def __init__(self, output: int, precedents: int = 0):
        super().__init__()
        self.precedents = precedents
        told = PER_PAST + len(KINDS) + PER_HORIZON
        asked = 2 * NAME_DIM + EDGE_STATISTICS + STATISTICS + told
        self.hearing = Hearing(told - PER_PAST) if precedents else None
        told += HEARD if precedents else 0
        self.past = nn.Sequential(nn.Linear(told, WIDTH), nn.ReLU(), nn.Linear(WIDTH, 64),
                                  nn.ReLU(), nn.Linear(64, 1))
        self.asked = nn.Sequential(nn.Linear(asked, WIDTH), nn.ReLU(), nn.Linear(WIDTH, output))
        self.row = nn.Linear(output, output)
        self.answer = nn.Sequential(nn.Linear(2 * output + told, WIDTH), nn.ReLU(),
                                    nn.Linear(WIDTH, 1))

    def forward(self, vectors: Tensor, names: Names, asked: Asked,
                horizon: Tensor) -> tuple[Tensor, Tensor]:
        """float32 [q] twice: from the past alone, and from the row too.

        Args:
            vectors: float32 [seeds, V].
            horizon: float32 [seeds, PER_HORIZON], of the batch.
        """
        kind, past, seed = (torch.from_numpy(a).to(vectors.device)
                            for a in (asked.kind, asked.past, asked.seed))
        around = torch.cat([F.one_hot(kind, len(KINDS)).float(), horizon[seed]], dim=1)
        told = torch.cat([past, around], dim=1)
        question = self.asked(torch.cat([*_names_of(names, asked), told], dim=1))
        if self.hearing is not None:
            told = torch.cat([told, self.hearing(past, around, asked.precedents)], dim=1)
        row = vectors[seed]
        both = torch.cat([row * question, F.relu(self.row(row) + question), told], dim=1)
        alone = self.past(told).squeeze(1)
        return alone, alone + self.answer(both).squeeze(1)


class Hearing(nn.Module):
    """What precedents say of a question: attention by how alike the told pasts are.

    Args:
        around: what a question and its precedents have in common, so many numbers.
    """

    def __init__(self, around: int):
        super().__init__()
        self.past = nn.Linear(PER_PAST, 64)
        self.around = nn.Linear(around, 64)
        self.key = nn.Linear(64, KEY)

    def forward(self, past: Tensor, around: Tensor, precedents: Precedents) -> Tensor:
        """float32 [q, HEARD]: mean and mean square of the answers of those alike, the mean of all,
        and the share of precedents that are there; zero without any.

        Args:
            past, around: float32 [q, …], of the questions.
        """
        theirs, answer, there = (torch.from_numpy(a).to(past.device) for a in (
            precedents.past, precedents.answer, precedents.there))
        common = self.around(around)
        mine = self.key(F.relu(self.past(past) + common))
        keys = self.key(F.relu(self.past(theirs) + common[:, None]))
        alike = (keys @ mine[:, :, None]).squeeze(2) / KEY ** 0.5
        share = alike.masked_fill(~there, -1e4).softmax(dim=1) * there
        flat = there / there.sum(dim=1, keepdim=True).clamp(min=1)
        return torch.stack([(share * answer).sum(dim=1), (share * answer ** 2).sum(dim=1),
                            (flat * answer).sum(dim=1), there.float().mean(dim=1)], dim=1)


def _names_of(names: Names, asked: Asked) -> tuple[Tensor, Tensor]:
    """Vectors of the relation and of the column (zero where none is meant) of each question."""
    first, count = names.taken["windows"][asked.table]
    relation = torch.from_numpy(asked.relation).to(names.edges.device)
    relations = names.columns["windows"][first:first + count]
    start = torch.tensor(names.starts[asked.table], device=names.edges.device)
    column = torch.from_numpy(asked.column).to(names.edges.device)
    means = names.columns["means"]
    if not len(means):
        return relations[relation], relations.new_zeros(len(column), NAME_DIM + STATISTICS)
    found = means[(start[relation] + column).clamp(min=0)]
    return relations[relation], found * (column >= 0)[:, None]


def loss_of(raw: Tensor, asked: Asked) -> Tensor:
    """The mean loss: log loss of existence, Huber loss of logs of counts and of means."""
    kind = torch.from_numpy(asked.kind).to(raw.device)
    answer = torch.from_numpy(asked.answer).to(raw.device)
    exists = F.binary_cross_entropy_with_logits(raw, (answer > 0).float(), reduction="none")
    number = F.huber_loss(raw, answer, reduction="none")
    each = torch.where(kind == EXISTS, exists, number)
    return (each * WEIGHTS.to(raw.device)[kind]).mean()


def scores(raw: Tensor, asked: list[Asked]) -> dict[str, float | None]:
    """For people: how well questions were answered, and by the rule.

    Returns:
        ROC-AUC of existence, R² of logs of counts and of means, each beside `rule_…`.
    """
    said = raw.numpy()
    kind, answer, rule = (np.concatenate([getattr(a, name) for a in asked])
                          for name in ("kind", "answer", "rule"))
    found: dict[str, float | None] = {}
    for k, name in enumerate(KINDS):
        mine = kind == k
        judge = roc_auc_score if k == EXISTS else r2_score
        varied = mine.sum() > 1 and len(np.unique(answer[mine])) > 1
        for who, values in (("", said), ("rule_", rule)):
            found[f"{who}{name}"] = float(judge(answer[mine], values[mine])) if varied else None
    return found
