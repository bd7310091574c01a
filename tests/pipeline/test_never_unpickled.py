"""Nothing that lies in a home is ever unpickled: what is read back are arrays, tables and text."""

import pickle
import re
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
FORBIDDEN = (  # what a line may not say
    r"weights_only=False", r"allow_pickle=True", r"\bpickle\.", r"joblib\.load",
    r"read_pickle|to_pickle", r"torch\.load\((?!.*weights_only=True)",
    r"np\.load\((?!.*allow_pickle=False)", r"trust_remote_code=True", r"(?<![.\w])(eval|exec)\(")
NAMES = ("load", "loads", "Unpickler", "_load", "_loads", "_Unpickler")


@pytest.mark.parametrize("room", ["rowgraph", "assets", "resources", "pipeline"])
def test_no_line_asks_for_a_pickle(room):
    for path in sorted((ROOT / room).rglob("*.py")):
        text = re.sub(r"\s*\n\s*", " ", path.read_text())  # calls of several lines are one
        for pattern in FORBIDDEN:
            for found in re.finditer(pattern, text):
                after = text[found.start():found.start() + 160]
                pytest.fail(f"{path.relative_to(ROOT)}: {after}")


def test_a_finished_home_is_read_and_asked_without_unpickling(world, monkeypatch):
    tried = []

    def refusing(of_pickle):
        def refuse(*args, **kwargs):
            # Numba keeps machine code beside the package, as Python its bytecode; no home has any.
            if sys._getframe(1).f_globals["__name__"].startswith("numba."):
                return of_pickle(*args, **kwargs)
            tried.append("unpickled")
            raise AssertionError("something was unpickled")
        return refuse

    for name in NAMES:
        monkeypatch.setattr(pickle, name, refusing(getattr(pickle, name)))
    with pytest.raises(AssertionError, match="unpickled"):
        pickle.loads(pickle.dumps(1))
    tried.clear()
    failures, listener = world.run(
        select=["row_map", "imputation_metrics", "evaluation"], force=True)
    assert (failures, tried) == ([], [])
    assert {name.split("/")[0] for name in listener.made} == {
        "row_map", "imputation_metrics", "evaluation"}
