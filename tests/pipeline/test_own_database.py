"""From a database of one's own to a task, as a person meets it."""

import contextlib
import datetime as dt
import io
import json
import os
import shutil
import subprocess
import sys
from unittest.mock import patch

import pandas as pd
import polars as pl
import pytest
import yaml

from pipeline.asking import name_in_profile
from pipeline.cli import main
from resources.served_lists import list_of_today, save_served
from resources.store import handle_path
from rowgraph.artifacts import ArtifactStore, write_json
from tests.importing.conftest import rows, write
from tests.pipeline.test_cli import rowgraph

QUICK = {
    "splits": {"folds": 1}, "evaluation": {"bootstrap": 20},
    "own_past_weights": {"seeds": [0], "steps": 5, "width": 8, "output": 8, "batch": 16,
                         "questions": 4, "fan_out": [3, 2]},
    "window_features": {"max_features": 40},
    "baseline_metrics": {"baselines": ["global_constant", "entity_history"], "seeds": [0]},
    "rowgraph_metrics": {"beside": [], "seeds": [0], "untrained": 1, "trees": 5, "bags": 1,
                         "steps": 4, "linear_features": 10}}
QUERY = "PREDICT COUNT(orders.*, 0, 14) > 0 FOR EACH customers.id"


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


def here(*words, home):
    """As `rowgraph`, in this process: what starts twelve times need not load torch each time."""
    out, err = io.StringIO(), io.StringIO()
    environ = {"ROWGRAPH_HOME": str(home), "HF_HUB_OFFLINE": "1", "COLUMNS": "160"}
    arguments = ["rowgraph", *map(str, words)]
    with (patch.dict(os.environ, environ), patch.object(sys, "argv", arguments),
          contextlib.redirect_stdout(out), contextlib.redirect_stderr(err)):
        try:
            main()
            code = 0
        except SystemExit as end:
            code = end.code or 0
    return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def kept(tmp_path_factory):
    """A shop whose model is kept: where it lies, and its profile."""
    folder = tmp_path_factory.mktemp("kept")
    write("csv", folder / "source")
    for words in (("import", folder / "source", folder / "shop", "--yes"),
                  ("task", folder / "shop", QUERY, "--name", "again")):
        done = here(*words, home=folder)
        assert done.returncode == 0, done.stderr
    profile = folder / "shop.yaml"
    content = yaml.safe_load(profile.read_text())
    assert content["adapted_model"] == {"fit": True}
    profile.write_text(yaml.safe_dump({**content, **QUICK}))
    early = here("predict", "shop/again", "-p", profile, home=folder)
    assert early.returncode == 1
    assert f"has no model yet; make it with `rowgraph run --profile {profile}`" in early.stderr
    done = here("run", "--no-track", "-p", profile, home=folder)
    assert done.returncode == 0, done.stderr
    return folder, profile


def test_a_list_of_today_next_weeks_and_what_came_of_it(kept):
    folder, profile = kept
    page = next(folder.glob("artifacts/report/*/notes/report.html")).read_text()
    assert "Models that are kept" in page
    assert QUERY.replace(">", "&gt;") in page
    done = here("predict", "shop/again", "-p", profile, "--no-track", "--explain", "--out",
                    folder / "today.csv", home=folder)
    assert done.returncode == 0, done.stderr
    frame = pl.read_csv(folder / "today.csv")
    assert frame.columns == ["id", "prediction", "spread", "rank"]
    assert frame["id"].str.ends_with("-0000-4000-8000-000000000000").all()
    assert "orders of 2023-" in done.stdout
    again = here("predict", "shop/again", "-p", profile, "--no-track", "--json", home=folder)
    assert [row["id"] for row in json.loads(again.stdout)] == frame["id"].to_list()
    both = here("predict", "shop/again", "-p", profile, "--check", "--explain", home=folder)
    assert both.returncode == 1
    assert "leave out --at" in both.stderr

    found = rows()  # three weeks later
    last = found["orders"][-1]
    found["orders"] += [(last[0] + k, found["customers"][k % 40][0],
                         last[2] + dt.timedelta(days=k / 2), "new", 1.0) for k in range(1, 43)]
    write("csv", folder / "source", found)
    again = here("import", folder / "source", folder / "shop", "--yes", home=folder)
    assert again.returncode == 0, again.stderr
    done = here("predict", "shop/again", "-p", profile, "--no-track", "--out",
                    folder / "later.csv", home=folder)
    assert done.returncode == 0, done.stderr
    assert "own_past_weights" not in done.stderr
    assert pl.read_csv(folder / "later.csv").height == 50
    checked = here("predict", "shop/again", "-p", profile, "--check", "--json", home=folder)
    assert checked.returncode == 0, checked.stderr
    before, now = json.loads(checked.stdout)
    assert before["scored"] == before["asked"] == 50
    assert 0 <= before["value"] <= 1
    assert now["scored"] == 0
    assert "its horizon ends on" in now["why"]


def test_the_champion_answers_where_the_newest_model_was_found_to_be_worse(kept):
    folder, profile = kept
    key = ("adapted_model", "shop", "again")
    champions, handle = folder / "champions" / "shop.json", handle_path(folder, "shop", key)
    records, old = json.loads(champions.read_text()), json.loads(handle.read_text())
    good = ArtifactStore(folder).find(key, old["recipe"])
    worse = shutil.copytree(good.folder, good.folder.with_name("f" * 16)) / "manifest.json"
    facts = json.loads(worse.read_text())
    facts |= {"recipe": "f" * 16, "data_version": "f" * 32,
              "origin": {**facts["origin"], "dagster_run_id": "worse"}}
    write_json(worse, facts)
    write_json(handle, {**old, "recipe": "f" * 16, "data_version": "f" * 32})
    record = records["/".join(key)]
    write_json(champions, records | {"/".join(key): {
        **record, "judged": [*record["judged"], "worse"]}})
    try:
        done = here("predict", "shop/again", "-p", profile, "--no-track", home=folder)
        assert done.returncode == 0, done.stderr
        assert "The champion answers: the newest model of shop/again was found to be worse" in (
            done.stderr)
        assert "`predictions: {model: newest}`" in done.stderr
    finally:
        shutil.rmtree(worse.parent)
        write_json(handle, old)
        write_json(champions, records)


def test_mlflow_serves_the_list_by_key(kept):
    import mlflow

    folder, _ = kept
    model = next(folder.glob("artifacts/adapted_model/shop/again/*/model.json")).parent
    save_served(folder / "served", folder, "shop", "shop", model)
    assert not list((folder / "served").rglob("*.pkl"))
    frame = list_of_today(folder, "shop", "shop", model)
    loaded = mlflow.pyfunc.load_model(str(folder / "served"))
    asked = pd.DataFrame({"id": [str(frame["id"][3]), "nobody"]})
    found = loaded.predict(asked)
    assert found["id"].tolist() == asked["id"].tolist()
    assert found["prediction"][0] == pytest.approx(frame["prediction"][3])
    assert found["prediction"].isna().tolist() == [False, True]


def test_a_model_that_cannot_be_kept_is_said_before_anything_is_made(kept):
    folder, profile = kept
    asked = here("task", folder / "shop", "PREDICT orders.total FOR EACH orders.id", "--name",
                 "total", home=folder)
    assert asked.returncode == 0, asked.stderr
    assert yaml.safe_load(profile.read_text())["databases"][0]["tasks"] == ["again", "total"]
    done = here("run", "-p", profile, home=folder)
    assert done.returncode == 1
    assert "shop/total is an autocomplete task, whose model cannot be kept" in done.stderr
    unknown = here("predict", "shop/nothing", "-p", profile, home=folder)
    assert unknown.returncode == 1
    assert "no such task in the profile shop; it has shop/again, shop/total" in unknown.stderr


@pytest.mark.parametrize("content", ["databases: []", "[]", "a: [", "databases: [{name: other}]"])
def test_a_file_in_the_place_of_the_profile_is_left_alone(content, tmp_path):
    (tmp_path / "shop").mkdir()
    (tmp_path / "shop.yaml").write_text(content)
    found = name_in_profile(tmp_path / "shop", "shop", "churn")
    if content == "[]":  # nothing is in it
        assert found == tmp_path / "shop.yaml"
    else:
        assert found is None
        assert (tmp_path / "shop.yaml").read_text() == content
    assert name_in_profile(tmp_path / "renamed", "shop", "churn") is None
