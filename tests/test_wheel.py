"""A wheel holds what RowGraph needs where there is no checkout."""

import json
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from rowgraph.profiles import load_profile

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("rowgraph", "assets", "resources", "pipeline")


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """The files of a wheel that was built from this checkout, as pip lays them out."""
    hatchling = pytest.importorskip("hatchling.builders.wheel")
    folder = tmp_path_factory.mktemp("wheel")
    wheel, = hatchling.WheelBuilder(str(ROOT)).build(directory=str(folder))
    with zipfile.ZipFile(wheel) as packed:
        packed.extractall(folder / "site")
    return folder / "site"


def files(folder):
    return [path.relative_to(folder) for path in folder.rglob("*") if path.is_file()]


def test_a_wheel_has_every_module_profile_and_template_and_no_test(installed):
    found, shipped = set(files(installed)), Path("rowgraph/_shipped")
    modules = {room / path for room in map(Path, ROOMS) for path in files(ROOT / room)
               if path.suffix == ".py"}
    profiles = {shipped / "profiles" / path for path in files(ROOT / "profiles")}
    templates = {shipped / f"{name}.yaml" for name in ("dagster", "workspace")}
    assert modules | profiles | templates <= found
    rooms = {path.parts[0] for path in found}
    assert {name for name in rooms if not name.endswith(".dist-info")} == set(ROOMS)


def test_its_command_plans_the_demo_in_an_empty_folder_with_a_home_of_its_own(installed, tmp_path):
    done = subprocess.run(
        [sys.executable, "-c", "import rowgraph, sys; print(rowgraph.__path__, file=sys.stderr);"
         "from pipeline.cli import main; main()", "plan", "--json"],
        capture_output=True, text=True, cwd=tmp_path, timeout=600,
        env={"PATH": os.environ["PATH"], "HOME": str(tmp_path), "HF_HUB_OFFLINE": "1",
             "PYTHONPATH": str(installed)})
    assert done.returncode == 0, done.stderr
    assert str(installed) in done.stderr
    planned = {row["asset"] for row in json.loads(done.stdout)["run"]}
    assert {f"source/{database.name.replace('-', '_')}"
            for database in load_profile("demo").databases} <= planned
