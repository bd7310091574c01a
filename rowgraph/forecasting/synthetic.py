"""Synthetic databases of entities and events, to practise forecasting on.

| part | drawn |
|---|---|
| entities | 2 to 5 tables; three hidden traits a row, which its columns show with noise; some \
    belong to entities of another table and take after them; born at times, some die |
| events | 1 to 3 tables of 1,000 to 25,000 rows: at random, in bursts, at regular intervals, in \
    active and dormant spells, or in fixed rounds; with seasons |
| partners | further keys of events: loyal, popular or any |
| values | columns of events: from the traits of all partners, from the value before, and noise |
| details | sometimes rows that name an event |

Names are drawn from a list of words, so that none means anything. Each database is a RelBench 3
folder with nothing but `db/` and its manifest; equal numbers give equal ones.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import polars as pl
import yaml

from rowgraph.randomness import generator

DAY = 86_400_000_000  # microseconds
FIRST = 10 * 365 * DAY
WORDS = (
    "account", "agent", "alarm", "amount", "animal", "asset", "award", "badge", "bank",
    "basket", "battle", "book", "booking", "branch", "brand", "bridge", "campaign", "card",
    "case", "category", "channel", "city", "claim", "class", "club", "code", "color",
    "contract", "count", "country", "course", "crew", "customer", "deal", "delivery", "device",
    "doctor", "driver", "duty", "event", "exam", "farm", "fee", "field", "flight", "fund",
    "game", "grade", "group", "guest", "height", "hotel", "house", "invoice", "item", "job",
    "judge", "label", "lake", "league", "length", "level", "library", "line", "loan", "machine",
    "mark", "market", "match", "member", "message", "mine", "mode", "model", "movie", "note",
    "office", "order", "owner", "panel", "parcel", "park", "part", "patient", "pay", "phase",
    "plan", "plane", "plant", "player", "point", "port", "post", "prize", "product", "project",
    "quality", "queue", "race", "rank", "rating", "region", "rent", "repair", "report",
    "result", "review", "road", "role", "room", "round", "route", "sale", "sample", "school",
    "score", "season", "seat", "sensor", "shift", "ship", "shop", "site", "size", "source",
    "species", "speed", "stage", "state", "station", "status", "stock", "store", "street",
    "student", "supplier", "task", "team", "test", "ticket", "title", "tool", "topic", "tour",
    "train", "trial", "trip", "type", "unit", "user", "value", "vehicle", "visit", "vote",
    "ward", "watch", "weight", "worker", "yard", "year", "zone")
STYLES = ("random", "bursts", "regular", "spells", "rounds")
TRAITS = 3
VALIDATION, TEST = 0.8, 0.9  # of the span


@dataclass
class _Table:
    name: str
    columns: dict[str, object]
    pkey: str | None = None
    time_col: str | None = None
    fkeys: dict[str, str] = field(default_factory=dict)


@dataclass
class _Entities:
    table: _Table
    traits: np.ndarray  # [rows, TRAITS]
    birth: np.ndarray  # days
    death: np.ndarray

    @property
    def rows(self) -> int:
        return len(self.birth)


def write_synthetic(folder: Path, number: int) -> None:
    """Write one database.

    Args:
        folder: gets `manifest.yaml` and `db/<table>.parquet`.
        number: which one.
    """
    for attempt in range(100):
        maker = _Maker(generator("synthetic database", number, attempt))
        if maker.events():
            return maker.write(folder, f"synthetic-{number}")
    raise ValueError(f"{folder}: no synthetic database came of number {number}; take another")


class _Maker:
    """One database on its way."""

    def __init__(self, random: np.random.Generator):
        self.random, self.used = random, set()
        self.span = 10 ** random.uniform(2, 4.2)  # days
        self.tables: list[_Table] = []
        self.entities: list[_Entities] = []
        for _ in range(random.integers(2, 6)):
            self.entities.append(self._entities())

    def word(self) -> str:
        """A name that this database does not have yet."""
        while True:
            words = self.random.choice(WORDS, size=self.random.integers(1, 3), replace=False)
            if (name := "_".join(words)) not in self.used:
                self.used.add(name)
                return name

    def _entities(self) -> _Entities:
        random, rows = self.random, int(10 ** self.random.uniform(1.3, 3.4))
        early = random.random(rows) < random.uniform(0.1, 1)
        birth = np.where(early, 0, random.random(rows) * self.span * 0.9)
        birth.sort()
        life = random.exponential(self.span * 10 ** random.uniform(-0.6, 1.2), rows)
        death = birth + life if random.random() < 0.7 else np.full(rows, np.inf)
        traits = random.standard_normal((rows, TRAITS))
        name = self.word()
        table = _Table(name, {f"{name}_id": np.arange(rows)}, f"{name}_id")
        if random.random() < 0.4:
            table.time_col = f"{self.word()}_date"
            table.columns[table.time_col] = self._moments(birth)
        if self.entities and random.random() < 0.35:
            other = self.entities[random.integers(len(self.entities))]
            owner = random.integers(other.rows, size=rows)
            self._refer(table, other, owner)
            traits = traits + 0.7 * other.traits[owner]
        for _ in range(random.integers(0, 6)):
            table.columns[self.word()] = self._shown(traits @ random.standard_normal(TRAITS) / 1.5)
        self.tables.append(table)
        return _Entities(table, traits, birth, death)

    def events(self) -> bool:
        """Add tables of events; whether there is one."""
        return sum(self._event_table() for _ in range(self.random.integers(1, 4))) > 0

    def _event_table(self) -> bool:
        random = self.random
        who = self.entities[random.integers(len(self.entities))]
        at, entity = self._happenings(who)
        if len(at) < 200:
            return False
        rows, name = len(at), self.word()
        table = _Table(name, {})
        if random.random() < 0.4:
            table.pkey = f"{name}_id"
            table.columns[table.pkey] = np.arange(rows)
        table.time_col = f"{self.word()}_time"
        table.columns[table.time_col] = self._moments(at)
        self._refer(table, who, entity)
        mixed = who.traits[entity] * random.uniform(0.5, 1.5)
        others = [e for e in self.entities if e is not who]
        for place in random.permutation(len(others))[:random.integers(0, 3)]:
            partner = self._partners(others[place], entity)
            self._refer(table, others[place], partner)
            mixed = mixed + others[place].traits[partner] * random.uniform(-1, 1)
        drift = random.normal() * 0.5 * at / self.span
        for _ in range(random.integers(0, 6)):
            value = mixed @ random.standard_normal(TRAITS) / 1.5 + drift
            keeps = random.choice([0.0, 0.0, 0.5, 0.9])
            table.columns[self.word()] = self._shown(
                _carried(value, entity, keeps, random) if keeps else value)
        self.tables.append(table)
        if table.pkey and random.random() < 0.5:
            self._details(table, at, mixed)
        return True

    def _details(self, events: _Table, at: np.ndarray, mixed: np.ndarray) -> None:
        random = self.random
        owner = np.repeat(np.arange(len(at)), random.poisson(random.uniform(0.5, 3), len(at)))
        if not 200 < len(owner) < 80_000:
            return
        later = at[owner] + random.exponential(random.choice([0.01, 2.0]), len(owner))
        order = np.argsort(later, kind="stable")
        owner, later = owner[order], later[order]
        table = _Table(self.word(), {}, time_col=f"{self.word()}_at")
        table.columns[table.time_col] = self._moments(later)
        table.columns[events.pkey] = owner
        table.fkeys[events.pkey] = events.name
        other = self.entities[random.integers(len(self.entities))]
        pick = random.integers(other.rows, size=len(owner))
        self._refer(table, other, pick)
        for _ in range(random.integers(0, 4)):
            table.columns[self.word()] = self._shown(mixed[owner, 0] + other.traits[pick, 0])
        self.tables.append(table)

    def _happenings(self, who: _Entities) -> tuple[np.ndarray, np.ndarray]:
        """Times in days, ascending, and whose each is."""
        random, style = self.random, self.random.choice(STYLES)
        end = np.minimum(who.death, self.span)
        life = np.maximum(end - who.birth, 0)
        rate = np.exp(random.uniform(0.2, 1.5) * who.traits[:, 0])
        rate *= 10 ** random.uniform(3, 4.4) / max((rate * life).sum(), 1e-9)
        expected = np.minimum(rate * life, 5_000)
        if style == "rounds":
            step = random.uniform(3, 90)
            rounds = np.arange(0, self.span, step)
            chance = np.clip(3 * (1 - np.exp(-rate * step)), 0.05, 0.98)
            there = random.random((who.rows, len(rounds))) < chance[:, None]
            there &= (rounds >= who.birth[:, None]) & (rounds < end[:, None])
            entity, which = np.nonzero(there)
            at = rounds[which]
        elif style == "regular":
            counts = (expected * 1.3).astype(int) + 1
            entity = np.repeat(np.arange(who.rows), counts)
            gaps = random.gamma(4, 1 / 4, len(entity)) / np.maximum(rate[entity], 1e-9)
            before = np.cumsum(gaps)
            starts = np.repeat(before[np.cumsum(counts) - counts] - gaps[
                np.cumsum(counts) - counts], counts)
            at = who.birth[entity] + before - starts
        else:
            parts = 4 if style == "bursts" else 1
            counts = random.poisson(expected / parts)
            entity = np.repeat(np.arange(who.rows), counts)
            at = who.birth[entity] + random.random(len(entity)) * life[entity]
            if style == "bursts":
                again = random.poisson(parts, len(entity))
                entity, at = np.repeat(entity, again), np.repeat(at, again)
                at = at + random.exponential(random.uniform(1, 20), len(at))
            elif style == "spells":
                phase, length = random.random(who.rows) * 2, self.span / random.uniform(4, 16)
                at_spell = np.floor(phase[entity] + (at - who.birth[entity]) / length)
                keep = at_spell.astype(int) % 2 == 0
                entity, at = entity[keep], at[keep]
        keep = at < end[entity]
        if (season := random.choice([0, 0, 0.4, 0.9])) > 0:
            wave = 1 + season * np.sin(2 * np.pi * at / 365.25 + random.uniform(0, 6))
            keep &= random.random(len(at)) < wave / (1 + season)
        entity, at = entity[keep], at[keep]
        order = np.argsort(at, kind="stable")[:25_000 * 2]
        return at[order], entity[order]

    def _partners(self, other: _Entities, entity: np.ndarray) -> np.ndarray:
        random = self.random
        liked = np.exp(other.traits[:, 1] * random.uniform(0, 1.5))
        pick = random.choice(other.rows, size=len(entity), p=liked / liked.sum())
        stays = random.random(len(entity)) < random.uniform(0, 0.95)
        return _carried_choices(pick, entity, stays)

    def _refer(self, table: _Table, other: _Entities, rows: np.ndarray) -> None:
        key = other.table.pkey
        if key in table.columns:
            key = f"{self.word()}_{key}"
        table.columns[key] = rows
        table.fkeys[key] = other.table.name

    def _shown(self, hidden: np.ndarray) -> pl.Series:
        """A column that shows a hidden number: with noise, in some form, with some missing."""
        random, rows = self.random, len(hidden)
        seen = hidden * random.uniform(0, 1.2) + random.standard_normal(rows) * random.uniform(
            0.3, 1.5)
        form = random.choice(["number", "tail", "whole", "word", "flag"],
                             p=[0.3, 0.15, 0.15, 0.3, 0.1])
        if form == "number":
            column = pl.Series(seen * 10 ** random.uniform(-1, 3) + random.normal() * 10)
        elif form == "tail":
            column = pl.Series(np.exp(np.clip(seen * random.uniform(0.5, 1.5), -20, 20)))
        elif form == "whole":
            column = pl.Series(np.round(np.exp(np.clip(seen, -3, 3)) * random.uniform(1, 10)
                                        ).astype(int))
        elif form == "flag":
            column = pl.Series(seen > random.normal())
        else:
            cuts = np.sort(random.standard_normal(random.integers(2, 24)))
            words = np.array([f"{random.choice(WORDS)}{k}" for k in range(len(cuts) + 1)])
            column = pl.Series(random.permutation(words)[np.searchsorted(cuts, seen)])
        if random.random() < 0.3:
            gone = pl.Series(random.random(rows) < random.uniform(0.02, 0.5))
            column = pl.select(pl.when(~gone).then(column)).to_series()
        return column

    def _moments(self, days: np.ndarray) -> pl.Series:
        return pl.Series(FIRST + (days * DAY).astype(np.int64)).cast(pl.Datetime("us"))

    def write(self, folder: Path, name: str) -> None:
        """The folder."""
        (folder / "db").mkdir(parents=True, exist_ok=True)
        tables = {}
        for table in self.tables:
            pl.DataFrame(table.columns).write_parquet(folder / "db" / f"{table.name}.parquet")
            tables[table.name] = {"pkey": table.pkey, "time_col": table.time_col,
                                  "fkeys": table.fkeys}
        cuts = {f"{cut}_timestamp": str(np.datetime64(int(FIRST + share * self.span * DAY), "us"))
                for cut, share in (("val", VALIDATION), ("test", TEST))}
        (folder / "manifest.yaml").write_text(yaml.safe_dump({
            "name": name, "manifest_version": 1, "description": "synthetic", **cuts,
            "tables": tables}, sort_keys=False))


def _carried(value: np.ndarray, entity: np.ndarray, keeps: float,
             random: np.random.Generator) -> np.ndarray:
    """Each entity's values in turn, each a part of the one before."""
    noise = random.standard_normal(len(value)) * 0.6 * (1 - keeps * keeps) ** 0.5
    out, last = value.copy(), {}
    for i, who in enumerate(entity.tolist()):
        out[i] = keeps * last.get(who, value[i]) + (1 - keeps) * value[i] + noise[i]
        last[who] = out[i]
    return out


def _carried_choices(pick: np.ndarray, entity: np.ndarray, stays: np.ndarray) -> np.ndarray:
    """Choices of each entity in turn, some as the one before."""
    out, last = pick.copy(), {}
    for i, (who, same) in enumerate(zip(entity.tolist(), stays.tolist(), strict=True)):
        if same and who in last:
            out[i] = last[who]
        last[who] = out[i]
    return out
