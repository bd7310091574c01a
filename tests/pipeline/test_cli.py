"""The console script as a person meets it."""

import json
import socket
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import polars as pl
import pytest

from assets.catalog import catalog
from pipeline.cli import main
from rowgraph.profiles import load_profile
from tests.worlds.tickets import write_tickets

ROOT = Path(__file__).resolve().parents[2]


def rowgraph(*words, home, **environ):
    code = "from pipeline.cli import main; main()"
    return subprocess.run(
        [sys.executable, "-W", "ignore", "-c", code, *map(str, words)], capture_output=True,
        text=True, cwd=ROOT, timeout=600,
        env={"PATH": "/usr/bin:/bin", "ROWGRAPH_HOME": str(home), "HF_HUB_OFFLINE": "1",
             "HOME": str(home), "COLUMNS": "160", **environ})


@pytest.mark.parametrize("command", [(), ("run",), ("plan",), ("results",), ("databases",),
                                     ("ui",), ("lineage",), ("gc",), ("doctor",)])
def test_help_says_what_a_command_does(command, tmp_path):
    done = rowgraph(*command, "--help", home=tmp_path)
    assert done.returncode == 0
    assert "Usage" in done.stdout
    if command:
        assert "--profile" in done.stdout


def test_version_is_that_of_the_installed_package(tmp_path):
    done = rowgraph("--version", home=tmp_path)
    assert (done.returncode, done.stdout) == (0, f"rowgraph {version('rowgraph')}\n")


def test_without_a_command_there_is_help_and_no_error(tmp_path):
    done = rowgraph(home=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert "doctor" in done.stdout


def test_doctor_finds_a_sound_machine_fine(tmp_path):
    done = rowgraph("doctor", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    found = {f["what"]: f for f in json.loads(done.stdout)}
    assert {"Python", "libraries", "device", "memory", "home", "port 3000", "MLflow",
            "extras"} <= found.keys()
    assert "wrong" not in {f["state"] for f in found.values()}
    assert "what is to be run takes some" in found["memory"]["found"]


def test_doctor_names_what_is_wrong(tmp_path, monkeypatch, capsys):
    (tmp_path / "no_gpu.yaml").write_text(
        "extends: demo\ncompute: {device: 'cuda:0'}\npeer_metrics: {peers: [kumo_relational]}\n"
        "databases:\n- {name: rel-survivor, role: pretrain}\n"
        "- {name: rel-nowhere, role: heldout, tasks: [x]}\n")
    monkeypatch.setenv("ROWGRAPH_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "160")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setattr(sys, "argv", ["rowgraph", "doctor", "--profile",
                                          str(tmp_path / "no_gpu.yaml"), "--port", str(port)])
        with pytest.raises(SystemExit) as ended:
            main()
    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    assert any(line.startswith("wrong") and "torch sees no CUDA device" in line for line in lines)
    assert any(line.startswith("wrong") and "rel-nowhere" in line for line in lines)
    assert any(line.startswith("note") and f"port {port}" in line for line in lines)


def test_plan_as_json_lists_everything_on_a_fresh_home(tmp_path):
    done = rowgraph("plan", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    content = json.loads(done.stdout)
    assert content["profile"] == "demo"
    assert len(content["run"]) == len(catalog(load_profile("demo")))
    assert {r["why"] for r in content["run"] if r["asset"].startswith("source/")} == {"missing"}


def test_plan_of_the_paper_shows_what_every_asset_takes_on_an_empty_home(tmp_path):
    done = rowgraph("plan", "--profile", "paper", home=tmp_path)
    assert done.returncode == 0, done.stderr
    for node in catalog(load_profile("paper")).values():
        assert node.name in done.stdout
    assert "~12 GB" in done.stdout  # embeddings of rel-event
    assert "--measure" in done.stdout
    assert not (tmp_path / "throughput").exists()


def test_plan_loads_no_torch(tmp_path):
    code = ("import sys; sys.argv = ['rowgraph', 'plan', '-p', 'paper', '--json']\n"
            "from pipeline.cli import app\n"
            "try: app()\n"
            "except SystemExit: pass\n"
            "sys.exit('torch' in sys.modules)")
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=600,
        env={"PATH": "/usr/bin:/bin", "ROWGRAPH_HOME": str(tmp_path), "HF_HUB_OFFLINE": "1",
             "HOME": str(tmp_path)})
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["totals"]["disk_bytes"]["basis"] == "assumed"


def test_hours_come_with_a_measurement_and_stay(databases, profile_path, tmp_path):
    def plan(*words):
        done = rowgraph("plan", "--json", "-p", profile_path, *words, home=tmp_path,
                        ROWGRAPH_DATABASES=str(databases), OMP_NUM_THREADS="1")
        assert done.returncode == 0, done.stderr
        content = json.loads(done.stdout)
        return content, {r["asset"]: r for r in content["run"]}

    before, assets = plan()
    assert before["throughput"] is None
    assert before["totals"]["hours"] is None
    assert assets["bart_checkpoint"]["hours"] is None
    assert assets["source/tiny_shop"]["disk_bytes"]["basis"] == "measured"
    measured, assets = plan("--measure")
    assert assets["bart_checkpoint"]["hours"]["value"] >= 0
    assert assets["report"]["hours"] is None
    assert measured["throughput"]["threads"] >= 1
    after, _ = plan()
    assert after == measured


def test_an_unknown_profile_is_one_line_and_exit_1(tmp_path):
    done = rowgraph("run", "--profile", "nope", home=tmp_path)
    assert done.returncode == 1
    assert "profile 'nope' does not exist" in done.stderr
    assert "Traceback" not in done.stderr


def test_an_unknown_selection_lists_the_stages(tmp_path):
    done = rowgraph("run", "--select", "sage_weight", home=tmp_path)
    assert done.returncode == 1
    assert "sage_weights" in done.stderr


def test_results_before_a_run_say_how_to_get_them(tmp_path):
    done = rowgraph("results", home=tmp_path)
    assert done.returncode == 1
    assert "rowgraph run" in done.stderr


def test_results_of_a_finished_home_carry_every_column(finished):
    done = rowgraph("results", "--json", "--profile", finished.profile, home=finished.home,
                    ROWGRAPH_DATABASES=str(finished.databases))
    assert done.returncode == 0, done.stderr
    rows = json.loads(done.stdout)
    assert set(rows[0]) == {"database", "task", "regime", "variant", "metric", "n_test", "seeds",
                            "mean", "std", "ci_low", "ci_high", "source"}


def test_a_second_run_on_the_command_line_says_that_there_is_nothing_to_do(finished):
    done = rowgraph("run", "--profile", finished.profile, home=finished.home,
                    ROWGRAPH_DATABASES=str(finished.databases))
    assert done.returncode == 0, done.stderr
    assert "Nothing to do" in done.stdout
    assert "bart_gnn_finetuned" in done.stdout


def test_databases_lists_the_embedded_ones_without_building_them(tmp_path):
    done = rowgraph("databases", "--json", home=tmp_path)
    assert done.returncode == 0, done.stderr
    rows = {row["database"]: row for row in json.loads(done.stdout)}
    assert {"rel-baseball", "rel-flights", "rel-grocery", "rel-survivor"} <= set(rows)
    assert rows["rel-baseball"]["role"] == "heldout"
    assert not (tmp_path / "artifacts").exists()


@pytest.fixture(scope="module")
def desk(tmp_path_factory):
    """A profile whose held-out database holds cells that were written after their row."""
    folder = tmp_path_factory.mktemp("desk")
    write_tickets(folder / "databases" / "rel-desk")
    (folder / "desk.yaml").write_text("""
extends: demo
databases:
  - {name: rel-flights, role: pretrain, entities: 100}
  - name: rel-desk
    role: heldout
    tasks: [ticket-ends]
    knowledge: {tickets: {columns: {due: scheduled, ended: as_is}}}
""")
    return folder


def test_databases_says_what_was_written_later_what_is_done_and_what_to_write(desk, tmp_path):
    done = rowgraph("databases", "-p", desk / "desk.yaml", home=tmp_path,
                    ROWGRAPH_DATABASES=str(desk / "databases"))
    assert done.returncode == 0, done.stderr
    assert "rel-desk people.seen: hidden until the data were read" in done.stdout
    assert "otherwise: tickets: {columns: {replies: as_is}}" in done.stdout
    assert "rel-desk tickets.ended: nothing is done" in done.stdout  # somebody said so
    assert "answers labels: alone it reaches ROC-AUC" in done.stdout
    assert "tickets.due" not in done.stdout


def test_databases_compares_two_exports(desk, tmp_path):
    old = desk / "databases" / "rel-desk"
    new = write_tickets(tmp_path / "new").folder
    path = new / "db" / "tickets.parquet"
    pl.read_parquet(path).with_columns(urgency=pl.lit(9)).write_parquet(path)
    done = rowgraph("databases", "--compare", old, new, home=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "tickets.urgency" in done.stdout
    assert "1,500 (100.0%)" in done.stdout
    assert rowgraph("databases", "--compare", old, tmp_path, home=tmp_path).returncode == 1
