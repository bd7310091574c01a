"""From a database of one's own to a task, as a person meets it."""

import json

from tests.importing.conftest import write
from tests.pipeline.test_cli import rowgraph


def test_a_shop_is_looked_at_imported_and_asked(tmp_path):
    source = write("duckdb", tmp_path / "source")
    seen = rowgraph("import", source, tmp_path / "shop", "--dry-run", home=tmp_path)
    assert seen.returncode == 0, seen.stderr
    assert "customers ||--o{ orders" in seen.stdout
    assert not (tmp_path / "shop").exists()

    done = rowgraph("import", source, tmp_path / "shop", "--yes", home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "orders.status: left out: by its name it is a state" in done.stdout
    assert "Next: rowgraph task" in done.stdout

    asked = rowgraph("task", tmp_path / "shop", "PREDICT COUNT(orders.*, 0, 14) > 0 FOR EACH "
                     "customers.id", "--json", home=tmp_path)
    assert asked.returncode == 0, asked.stderr
    content = json.loads(asked.stdout)
    assert content["written"]
    assert {s["split"] for s in content["splits"]} == {"train", "val", "test"}
    assert (tmp_path / "shop" / "tasks" / content["task"] / "manifest.yaml").exists()

    wrong = rowgraph("task", tmp_path / "shop", "PREDICT COUNT(order.*, 0, 14) > 0 FOR EACH "
                     "customers.id", home=tmp_path)
    assert wrong.returncode == 1
    assert "there is no table order; did you mean orders" in wrong.stderr
    assert "^^^^^" in wrong.stderr


def test_a_source_that_cannot_be_read_is_one_line(tmp_path):
    done = rowgraph("import", "nowhere.sqlite", tmp_path / "shop", home=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("rowgraph: nowhere.sqlite: no such file or folder")
    assert len(done.stderr.strip().splitlines()) == 1
