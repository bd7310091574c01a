"""The arrows between the rooms, and what importing the code location may load."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("rowgraph", "assets", "resources", "pipeline")
MAY_IMPORT = {
    "rowgraph": set(),
    "resources": {"rowgraph"},
    "assets": {"rowgraph", "resources"},
    "pipeline": {"rowgraph", "resources", "assets"},
}
HEAVY = ("torch", "transformers", "torch_geometric", "mlflow", "relbench")


def imported(path: Path) -> set[str]:
    tree = ast.parse(path.read_text())
    names = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0:
            names.add(node.module.split(".")[0])
    return names


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_only_the_rooms_that_its_arrow_points_to(room):
    files = list((ROOT / room).rglob("*.py"))
    assert files
    for path in files:
        strangers = (imported(path) & set(ROOMS)) - MAY_IMPORT[room] - {room}
        assert not strangers, f"{path.relative_to(ROOT)} imports {strangers}"


def test_the_science_knows_neither_orchestrator_nor_tracker():
    for path in (ROOT / "rowgraph").rglob("*.py"):
        assert not imported(path) & {"dagster", "mlflow"}, path


# The downstream floor, from the top: a room imports rooms below it alone.
FLOOR = ("reports", "serving", "evaluation", "baselines", "adaptation", "forecasting", "sage",
         "features", "tasks", "graph", "cells", "importing", "databases")


def rooms_of(path: Path) -> set[str]:
    modules = (n.module for n in ast.walk(ast.parse(path.read_text()))
               if isinstance(n, ast.ImportFrom) and n.module)
    return {m.split(".")[1] for m in modules if m.startswith("rowgraph.")} & set(FLOOR)


@pytest.mark.parametrize("room", FLOOR)
def test_the_arrows_of_the_downstream_floor_point_down(room):
    above = set(FLOOR[:FLOOR.index(room)])
    for path in (ROOT / "rowgraph" / room).rglob("*.py"):
        assert not rooms_of(path) & above, f"{path.relative_to(ROOT)}"


def test_the_science_reads_no_environment_variable_and_unpickles_nothing():
    for path in (ROOT / "rowgraph").rglob("*.py"):
        text = path.read_text()
        assert "os.environ" not in text, path
        assert "os.getenv" not in text, path
        assert "allow_pickle=True" not in text, path
        assert "import pickle" not in text, path


def test_importing_the_code_location_loads_nothing_heavy():
    code = ("import sys, pipeline.definitions\n"
            f"print([m for m in {HEAVY!r} if m in sys.modules])")
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT,
                          check=True)
    assert done.stdout.strip().splitlines()[-1] == "[]"


def test_a_file_stays_short_enough_to_be_known():
    for room in ROOMS:
        for path in (ROOT / room).rglob("*.py"):
            assert len(path.read_text().splitlines()) <= 400, path
