"""Examples in docstrings run as they are printed, and whatever is public says what it is."""

import ast
import doctest
import importlib
from pathlib import Path

import pytest

from docs.generating.docstrings import ROOMS, silent, undocumented

ROOT = Path(__file__).resolve().parents[2]
FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
SHOWN = {  # what a person may import, with an example each
    "assets.catalog.catalog", "rowgraph.cells.store.Cells",
    "rowgraph.databases.database.Database", "rowgraph.embeddings.EmbeddingStore",
    "rowgraph.encoding.encoder.RowEncoder", "rowgraph.features.store.WindowFeatures",
    "rowgraph.forecasting.encoder.RowGraphEncoder", "rowgraph.forecasting.reader.Reader",
    "rowgraph.graph.entity_graph.EntityGraph", "rowgraph.graph.entity_graph.build_entity_graph",
    "rowgraph.graph.loading.LoaderSampler", "rowgraph.graph.sampling.TemporalNeighborSampler",
    "rowgraph.profiles.Profile", "rowgraph.rows.linearization.linearize",
    "rowgraph.sage.model.HeteroGraphSAGE", "rowgraph.tasks.folds.folds_of",
    "rowgraph.tasks.label_tables.LabelTable", "rowgraph.tasks.label_tables.Task",
    "rowgraph.tasks.queries.proposing.propose", "rowgraph.tasks.regimes.visible_before"}


def examples():
    """Names of all that has an example in its docstring."""
    for room in ROOMS:
        for path in sorted((ROOT / room).rglob("*.py")):
            module = ".".join(path.relative_to(ROOT).with_suffix("").parts)
            for node in ast.parse(path.read_text()).body:
                if (isinstance(node, ast.ClassDef | ast.FunctionDef)
                        and ">>> " in (ast.get_docstring(node) or "")):
                    yield f"{module}.{node.name}"


EXAMPLES = list(examples())


@pytest.mark.parametrize("example", EXAMPLES)
def test_an_example_runs_as_printed_with_nothing_but_its_own_imports(example):
    module, name = example.rsplit(".", 1)
    found = getattr(importlib.import_module(module), name)
    test = doctest.DocTestFinder(recurse=False).find(found, name, globs={})[0]
    runner, said = doctest.DocTestRunner(optionflags=FLAGS), []
    runner.run(test, out=said.append)
    assert runner.tries == len(test.examples) > 0
    assert not runner.failures, "".join(said)


def test_what_a_person_may_import_has_an_example():
    assert set(EXAMPLES) >= SHOWN


def test_whatever_is_public_says_what_it_is():
    assert silent(ROOT) == []


def test_the_search_for_missing_docstrings_finds_one(tmp_path):
    file = tmp_path / "silent.py"
    file.write_text('"""A file."""\nclass Loud:\n    """Said."""\n    def one(self): ...\n')
    assert list(undocumented(file)) == ["Loud.one"]
