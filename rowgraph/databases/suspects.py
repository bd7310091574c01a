"""A column that may have been written after its row, as people and programs read it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from rowgraph.databases.knowledge import EXPORT, ITSELF, Knowledge, Rule


@dataclass(frozen=True)
class Suspect:
    """A column that may say what its row did not know yet.

    Args:
        table, column: which.
        sign: what was seen, as in `rowgraph.databases.settling`.
        figure: how strongly: a share, or a measure between 0 and 1.
        evidence: the same in words, with figures and one example.
        rule: what is done by default; None where it is only said.
    """

    table: str
    column: str
    sign: str
    figure: float
    evidence: str
    rule: Rule | None

    @property
    def done(self) -> str:
        """What is done about it, for people."""
        if self.rule is None:
            return "nothing"
        known_at = self.rule.known_at
        return {ITSELF: "hidden until it is reached", EXPORT: "hidden until the data were read",
                }.get(known_at, f"hidden until {known_at}")

    @property
    def otherwise(self) -> str:
        """The line of `knowledge` to write to have it otherwise."""
        said = f"{{known_at: {EXPORT}}}" if self.rule is None else (
            "scheduled" if self.sign == "later" else "as_is")
        return f"{self.table}: {{columns: {{{self.column}: {said}}}}}"


def summary(knowledge: Knowledge, suspects: list[Suspect]) -> Mapping[str, int]:
    """How many columns are hidden for a time, and how many suspects nothing is done about."""
    return {"late_columns": sum(rule.late for rule in knowledge.rules.values()),
            "suspects": len(suspects), "open_suspects": sum(s.rule is None for s in suspects)}


def suspect_facts(suspects: Iterable[Suspect]) -> list[dict[str, Any]]:
    """JSON-able: table, column, sign, figure, evidence, what is `done`, and `otherwise`."""
    return [{"table": s.table, "column": s.column, "sign": s.sign, "figure": round(s.figure, 4),
             "evidence": s.evidence, "done": s.done, "otherwise": s.otherwise} for s in suspects]
