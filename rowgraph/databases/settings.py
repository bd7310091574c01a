"""Settings of the databases of a profile."""

from __future__ import annotations

import re
from typing import Any, Literal

from pydantic import Field, model_validator

from rowgraph.databases.knowledge import Knowledge, KnowledgeError
from rowgraph.settings import Section

NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]{0,99}")  # of a folder and of an asset alike


class DatabaseSettings(Section):
    """One database of a profile."""

    name: str  # of a folder in ROWGRAPH_DATABASES, an embedded builder or the hub
    # pretrain: others learn from it; heldout: it is asked about
    role: Literal["pretrain", "heldout"]
    entities: int | None = Field(None, gt=0)  # embedded builders: entities drawn; null = in full
    max_rows_per_table: int | None = Field(None, gt=0)  # Section 4.2: larger tables are subsampled
    tasks: tuple[str, ...] = ()  # of a held-out database: what is asked
    expected_rows: int | None = Field(None, gt=0)  # after subsampling; for `rowgraph plan` alone
    knowledge: dict[str, Any] = Field({})  # when cells were known: rowgraph.databases.knowledge

    @model_validator(mode="after")
    def _names_can_be_assets(self):
        for kind, name in (("database", self.name), *(("task", task) for task in self.tasks)):
            if not NAME.fullmatch(name):
                whose = "" if kind == "database" else f"{self.name}: "
                raise ValueError(f"{whose}{name[:50]!r} cannot be the name of a {kind}: use "
                                 "letters, digits, '-' and '_', at most 100 characters, and "
                                 "rename its folder")
        keys: dict[str, str] = {}
        for task in self.tasks:
            other = keys.setdefault(task.replace("-", "_"), task)
            if other != task:
                raise ValueError(f"{self.name}: {other!r} and {task!r} would be one asset; rename "
                                 "one of the two tasks")
        return self

    @model_validator(mode="after")
    def _knowledge_has_its_form(self):
        try:
            Knowledge.parse(self.knowledge)
        except KnowledgeError as error:
            raise ValueError(f"{self.name}: knowledge: {error}") from None
        return self

    @model_validator(mode="after")
    def _tasks_only_where_held_out(self):
        if self.role == "pretrain" and self.tasks:
            raise ValueError(f"{self.name}: tasks belong to held-out databases, its role is "
                             "pretrain; remove `tasks` or set `role: heldout`")
        if self.role == "heldout" and not self.tasks:
            raise ValueError(f"{self.name}: a held-out database needs at least one task; "
                             "`rowgraph databases` lists them")
        if len(set(self.tasks)) != len(self.tasks):
            raise ValueError(f"{self.name}: a task is listed twice in {list(self.tasks)}")
        return self

    def effective(self) -> dict[str, Any]:
        """What decides the content of the resolved database: not its role, tasks or expectation."""
        names = {"name", "entities", "max_rows_per_table"}
        # Without a word the recipe is as if nothing could be said.
        return self.model_dump(mode="json",
                               include=names | ({"knowledge"} if self.knowledge else set()))
