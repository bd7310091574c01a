"""The notebooks of examples/ run from top to bottom, and are kept without what they print."""

import os
import sys
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient

ROOT = Path(__file__).resolve().parents[2]
NOTEBOOKS = sorted((ROOT / "examples").glob("*.ipynb"))


def read(path):
    return nbformat.read(path, as_version=4)


def test_the_notebooks_run_from_top_to_bottom():
    """One process for all of them: most of their time is importing and compiling."""
    whole = nbformat.v4.new_notebook()
    for path in NOTEBOOKS:
        whole.cells += [*read(path).cells, nbformat.v4.new_code_cell("%reset -f")]
    NotebookClient(whole, timeout=600, kernel_name="python3",
                   resources={"metadata": {"path": str(ROOT / "examples")}}).execute(env={
                       **os.environ, "PYTHONPATH": str(ROOT), "MPLBACKEND": "agg",
                       "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"})
    printed = [out.get("text", "") for cell in whole.cells for out in cell.get("outputs", ())]
    assert any("352 directed edges" in text for text in printed)
    said = next(text for text in printed if "the best possible" in text).splitlines()
    losses = {line[:22].strip(): float(line.split()[-1]) for line in said}
    assert losses["the best possible"] < losses["RowGraph"] < 1.5


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_is_kept_without_outputs(path):
    code = [cell for cell in read(path).cells if cell.cell_type == "code"]
    assert code
    assert not any(cell.outputs or cell.execution_count for cell in code)
    assert read(path).cells[0].source.startswith("# ")
