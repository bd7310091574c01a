"""Settings of the databases of a profile."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from rowgraph.settings import Section


class DatabaseSettings(Section):
    """One database of a profile."""

    name: str
    role: Literal["pretrain", "heldout"]
    entities: int | None = Field(None, gt=0)  # embedded builders: entities drawn; null = in full
    max_rows_per_table: int | None = Field(None, gt=0)  # Section 4.2: larger tables are subsampled
    tasks: tuple[str, ...] = ()
    expected_rows: int | None = Field(None, gt=0)  # after subsampling; for `rowgraph plan` alone

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
        return self.model_dump(mode="json", include={"name", "entities", "max_rows_per_table"})
