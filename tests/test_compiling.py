"""Kernels are compiled once for a machine, and an edit anywhere is never answered by old code."""

import importlib
import subprocess
import sys

import numba
import pytest

from rowgraph import compiling
from rowgraph.compiling import kernel

STEP = "from rowgraph.compiling import kernel\nSTEP = {step}\n@kernel('int64(int64)')\n" \
       "def step(x):\n    return x + {more}\n"
KERNEL = "from rowgraph.compiling import kernel\nfrom far_step import STEP, step\n" \
         "@kernel('int64(int64)')\ndef walk(x):\n    return step(x) * STEP\n"
ASK = "import near; print(near.walk(1), near.walk.stats.cache_hits and 'kept' or 'compiled')"


def asked(folder, step=10, more=1):
    """What a process of its own answers, and whether it found the code or compiled it."""
    (folder / "far_step.py").write_text(STEP.format(step=step, more=more))
    (folder / "near.py").write_text(KERNEL)
    code = f"import sys; sys.path.insert(0, {str(folder)!r})\nfrom rowgraph import compiling\n" \
           "from pathlib import Path\n" \
           f"compiling._place = lambda: Path({str(folder / 'kept')!r})\n" + ASK
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    value, how = done.stdout.split()
    return int(value), how


def test_a_second_process_finds_the_code_of_the_first_and_an_edit_elsewhere_does_not(tmp_path):
    assert asked(tmp_path) == (20, "compiled")
    assert asked(tmp_path) == (20, "kept")
    assert asked(tmp_path, step=7) == (14, "compiled")  # a constant of another file
    assert asked(tmp_path, step=7, more=2) == (21, "compiled")  # a function of another file
    assert asked(tmp_path) == (20, "kept")


def test_where_no_place_can_be_written_a_process_compiles_for_itself(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "file" / "compiling.py"))
    monkeypatch.setattr(compiling.platformdirs, "user_cache_path",
                        lambda name: tmp_path / "file" / name)
    compiling._place.cache_clear()
    try:
        assert compiling._place() is None

        @kernel("int64(int64)")
        def twice(x):
            return 2 * x
    finally:
        compiling._place.cache_clear()
    assert twice(4) == 8
    assert not twice.stats.cache_hits


def test_the_users_cache_is_taken_where_the_package_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("no folder")
    monkeypatch.setattr(compiling, "__file__", str(tmp_path / "file" / "compiling.py"))
    monkeypatch.setattr(compiling.platformdirs, "user_cache_path", lambda name: tmp_path / name)
    compiling._place.cache_clear()
    try:
        assert compiling._place() == tmp_path / "rowgraph" / "kernels"
    finally:
        compiling._place.cache_clear()


def test_numbas_own_setting_stays_as_it_was():
    before = numba.config.CACHE_DIR
    importlib.reload(importlib.import_module("rowgraph.evaluation.weighted"))
    assert before == numba.config.CACHE_DIR


def test_what_a_module_holds_cannot_be_compiled_in_unseen():
    with pytest.raises(TypeError, match=r"compiling.*import the name itself"):
        @kernel("int64(int64)")
        def through_a_module(x):
            return x + compiling.LIMIT


def test_every_kernel_of_the_package_is_kept():
    package = compiling.Path(compiling.__file__).parent
    for path in package.rglob("*.py"):
        assert path.name == "compiling.py" or "njit" not in path.read_text(), path
