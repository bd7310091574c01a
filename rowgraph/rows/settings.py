"""Settings of what the language model reads."""

from __future__ import annotations

from pydantic import Field, model_validator

from rowgraph.settings import Section


class SampledRowsSettings(Section):
    """Which rows of the pre-training databases the language model reads (Section 4.2)."""

    rows: int = Field(100_000, gt=0)  # of all pre-training databases together
    seed: int = 0  # of the draw



class LinearizedCorpusSettings(Section):
    """How a row becomes text and to which split it goes (Section 4.2)."""

    train: float = Field(0.70, gt=0, lt=1)  # share of the rows
    validation: float = Field(0.10, gt=0, lt=1)  # share of the rows
    test: float = Field(0.20, gt=0, lt=1)  # share of the rows
    keys: bool = False  # key columns as text: docs/decisions/linearization.md
    seed: int = 0  # of the split

    @model_validator(mode="after")
    def _shares_sum_to_one(self):
        total = self.train + self.validation + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"train + validation + test must be 1, found {total:g}")
        return self
