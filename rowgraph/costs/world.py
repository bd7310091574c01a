"""What a formula of costs is given, and what it answers.

Legend: N rows, D width of a vector. Disk and memory are in bytes.
"""

from __future__ import annotations

from dataclasses import dataclass

from rowgraph.costs.model_shape import ModelShape
from rowgraph.costs.rates import Work
from rowgraph.costs.sizes import DatabaseFacts, Facts, Figure, nodes_a_seed, row_bytes, weaker
from rowgraph.profiles import Profile
from rowgraph.rows.sampling import water_fill

LIGHT, HEAVY = 0.5e9, 1.2e9  # the process without torch, and with it: demo's assets, small data
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
        also: work of another kind beside it.
    """

    disk: Figure
    host: Figure
    meanwhile: Figure = NOTHING
    device: Figure = NOTHING
    work: Work | None = None
    also: Work | None = None


class Unknown(Exception):
    """A fact is missing, and with it the estimate."""


@dataclass(frozen=True)
class World:
    """The arguments of a formula, and what several of them ask."""

    profile: Profile
    facts: Facts
    name: str | None
    task: str | None
    on_gpu: bool
    cores: int

    @property
    def database(self) -> DatabaseFacts:
        """Facts of the database that is asked about."""
        return self.of(self.name)

    @property
    def shape(self) -> ModelShape:
        """Sizes of the language model."""
        if self.facts.shape is None:
            raise Unknown
        return self.facts.shape

    def drawn_rows(self, name: str | None) -> Figure:
        """Rows of a database in the corpus: an even share, and what others cannot give."""
        rows = {d.name: self.of(d.name).rows for d in self.profile.by_role("pretrain")}
        shares = water_fill({n: round(r.value) for n, r in rows.items()},
                            self.profile.sampled_rows.rows)
        return Figure(shares[name], weaker(*(r.basis for r in rows.values())))

    @property
    def corpus_rows(self) -> Figure:
        """Rows of the corpus, of all pre-training databases."""
        return sum((self.drawn_rows(d.name) for d in self.profile.by_role("pretrain")), NOTHING)

    @property
    def pretrain(self) -> list[DatabaseFacts]:
        """Facts of every pre-training database."""
        return [self.of(d.name) for d in self.profile.by_role("pretrain")]

    def of(self, name: str | None) -> DatabaseFacts:
        """Facts of a database.

        Raises:
            Unknown: nothing is known of it yet.
        """
        if name is None or (found := self.facts.databases.get(name)) is None:
            raise Unknown
        return found

    def sample(self, rows: Figure | float) -> Figure:
        """Bytes of rows as texts in memory."""
        return rows * row_bytes(self.facts.tokens_a_row)


def batch_nodes(facts: DatabaseFacts, batch: int, fan_out: tuple[int, ...]) -> Figure:
    """Nodes of a sampled batch, at most every row of its database."""
    nodes = nodes_a_seed(facts.edges_a_row, fan_out)
    drawn = Figure(min(batch, facts.rows.value) * nodes, "assumed")
    return drawn.at_most(facts.rows)
