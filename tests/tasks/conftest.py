"""The racing world, whose tasks a test may write and break."""

from __future__ import annotations

import shutil
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import yaml

from rowgraph.databases.database import Database

SPLITS = ("train", "val", "test")


@pytest.fixture(scope="session")
def _races(tmp_path_factory, lab) -> Path:
    return lab.build_world(tmp_path_factory.mktemp("races") / "db", lab.frames()).database.folder


class Races:
    """The racing world, whose tasks a test may write and break."""

    def __init__(self, folder: Path):
        self.folder = folder

    @property
    def database(self) -> Database:
        return Database.open(self.folder)

    def path(self, split: str, task: str = "driver-fails") -> Path:
        return self.folder / "tasks" / task / f"{split}.parquet"

    def manifest(self, task: str = "driver-fails", **changes: object) -> None:
        """Write or change a manifest; None removes a field."""
        path = self.folder / "tasks" / task / "manifest.yaml"
        path.parent.mkdir(exist_ok=True)
        content = yaml.safe_load(path.read_text()) if path.exists() else {"name": task}
        content = {k: v for k, v in (content | changes).items() if v is not None}
        path.write_text(yaml.safe_dump(content))

    def target(self, name: str = "fails",
               kind: pa.DataType | None = None, **rows: object) -> None:
        """Replace the target column of every split by a function of the row number."""
        for split in SPLITS:
            table = pq.read_table(self.path(split))
            values = pa.array([rows["of"](split, i) for i in range(len(table))], kind)
            at = table.schema.get_field_index("fails")
            pq.write_table(table.set_column(at, name, values), self.path(split))

    def set(self, split: str, column: str, row: int, value: object) -> None:
        """Change one cell of a label table."""
        frame = pl.read_parquet(self.path(split))
        cells = frame[column].to_list()
        cells[row] = value
        frame.with_columns(pl.Series(column, cells, strict=False)).write_parquet(self.path(split))

    def recommend(self) -> None:
        """Ask for circuits instead of a truth."""
        self.manifest(task_type="recommendation", entity_table=None, entity_col=None,
                      target_col=None, src_entity_table="drivers", src_entity_col="driverId",
                      dst_entity_table="circuits", dst_entity_col="circuitId", eval_k=3,
                      num_eval_timestamps=None)

    def autocomplete(self, table: str, target: str, task_type: str, **more: object) -> str:
        name = f"{table}-{target}"
        self.manifest(name, kind="autocomplete", task_type=task_type, entity_table=table,
                      target_col=target, **more)
        return name


@pytest.fixture
def races(tmp_path, _races) -> Races:
    shutil.copytree(_races, tmp_path / "db", ignore=shutil.ignore_patterns("store"))
    return Races(tmp_path / "db")
