"""What is made of a database, in `import.yaml` beside the data: a person reads and changes it.

    name: shop
    source: postgresql://reader@host/shop      # without a password
    val_timestamp: 2024-05-01
    test_timestamp: 2024-08-01
    tables:
      orders:
        pkey: [id]                 # replaced by row numbers; keys/orders.parquet has the way back
        time: created_at           # when the row came; {from: order_id} takes its parent's time
        fkeys:
          - {columns: [customer_id], parent: customers, because: declared}
        columns:
          status: {known_at: drop, because: a state that changes}
        valid_until: deleted_at
        append_only: id            # rows are never changed: a later import fetches those above
    leave_out:
      audit_log: nobody asks it

What is said of columns is what `knowledge.yaml` says (docs/decisions/knowledge.md).
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from rowgraph.databases.knowledge import Knowledge, KnowledgeError
from rowgraph.databases.report import near
from rowgraph.importing.found import FoundTable, ImportFault
from rowgraph.yaml_files import UnreadableYaml, read_yaml, write_yaml

FILE = "import.yaml"


class _Said(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, populate_by_name=True)


class Link(_Said):
    """A foreign key."""

    columns: tuple[str, ...] = Field(min_length=1)
    parent: str  # as the tables are named here
    because: str = ""


class Inherited(_Said):
    """A time that is taken from the row that a foreign key names."""

    of: str = Field(alias="from")  # the first column of that key


class TableDecisions(_Said):
    """What is made of one table."""

    source: str | None = Field(None, alias="from")  # its name there, where it is another
    pkey: tuple[str, ...] = ()
    time: str | Inherited | None = None
    fkeys: tuple[Link, ...] = ()
    columns: dict[str, Any] = Field(default_factory=dict)
    valid_until: str | None = None
    append_only: str | None = None
    because: str = ""


class Decisions(_Said):
    """The whole file."""

    name: str
    source: str
    val_timestamp: str | None = None
    test_timestamp: str | None = None
    tables: dict[str, TableDecisions]
    leave_out: dict[str, str] = Field(default_factory=dict)

    def found(self, table: str) -> str:
        """The name of a table in its database."""
        return self.tables[table].source or table

    def knowledge(self) -> Knowledge:
        """What is said of columns, as `knowledge.yaml` has it.

        Raises:
            ImportFault: it cannot be understood.
        """
        said = {table: {"columns": decided.columns} if not decided.valid_until else
                {"columns": decided.columns, "valid_until": decided.valid_until}
                for table, decided in self.tables.items() if decided.columns or decided.valid_until}
        try:
            return Knowledge.parse(said)
        except KnowledgeError as error:
            raise ImportFault(f"{FILE}: {error}") from None

    def write(self, folder: Path) -> None:
        """Write `import.yaml`."""
        content = self.model_dump(mode="json", by_alias=True, exclude_defaults=True)
        write_yaml(folder / FILE, content, f"# What `rowgraph import` makes of {self.source}. "
                   "Change what you know better and import again.\n")

    @classmethod
    def read(cls, folder: Path) -> Decisions | None:
        """What was decided before; None where nothing was.

        Raises:
            ImportFault: the file cannot be understood; the message names the entry.
        """
        path = folder / FILE
        if not path.exists():
            return None
        try:
            return cls.model_validate(read_yaml(path))
        except UnreadableYaml as error:
            raise ImportFault(f"{path}: not readable as YAML ({error}); mend it, or remove it to "
                              "start anew") from None
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"])
            raise ImportFault(f"{path}: {where or 'the file'}: {first['msg']}; mend it, or remove "
                              "it to start anew") from None

    def check(self, tables: Mapping[str, FoundTable]) -> None:
        """Whether all that is named is there.

        Args:
            tables: of the source, by their names there.

        Raises:
            ImportFault: something is not; the message says where and what is near.
        """
        for table, decided in self.tables.items():
            if (name := self.found(table)) not in tables:
                raise ImportFault(f"{FILE}: {table}: {self.source} has no table {name}; "
                                  f"{near(name, tables)}, or move it to leave_out")
            columns = tables[name].kinds
            named = [*decided.pkey, *(c for link in decided.fkeys for c in link.columns),
                     *decided.columns, *filter(None, (decided.valid_until, decided.append_only))]
            if isinstance(decided.time, str):
                named.append(decided.time)
            for column in named:
                if column not in columns:
                    raise ImportFault(f"{FILE}: {table}: there is no column {column}; "
                                      f"{near(column, columns)}")
            for link in decided.fkeys:
                if link.parent not in self.tables:
                    raise ImportFault(f"{FILE}: {table}: the parent {link.parent} is not imported; "
                                      f"{near(link.parent, self.tables)}, or remove the key")
                width = len(self.tables[link.parent].pkey)
                if width != len(link.columns):
                    raise ImportFault(f"{FILE}: {table}: the key ({', '.join(link.columns)}) has "
                                      f"{len(link.columns)} columns, that of {link.parent} {width}")
            if isinstance(decided.time, Inherited) and decided.time.of not in (
                    link.columns[0] for link in decided.fkeys):
                raise ImportFault(f"{FILE}: {table}: its time is taken from {decided.time.of}, "
                                  "which is the first column of none of its fkeys")
