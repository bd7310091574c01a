"""Public names that do not say what they are."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

ROOMS = ("rowgraph", "assets", "resources", "pipeline")


def undocumented(path: Path) -> Iterator[str]:
    """Public classes, functions and methods of a file without a docstring, and the file itself."""
    def inside(node: ast.AST, where: str) -> Iterator[str]:
        for child in node.body:
            if not isinstance(child, ast.ClassDef | ast.FunctionDef) or child.name[0] == "_":
                continue
            if child.name.startswith("on_"):  # of a library, which calls it and says when
                continue
            if ast.get_docstring(child) is None:
                yield f"{where}{child.name}"
            if isinstance(child, ast.ClassDef):
                yield from inside(child, f"{where}{child.name}.")

    tree = ast.parse(path.read_text())
    if ast.get_docstring(tree) is None:
        yield "the file itself"
    yield from inside(tree, "")


def silent(root: Path) -> list[str]:
    """All of them in the rooms of a checkout, as `file: name`."""
    return [f"{path.relative_to(root)}: {name}" for room in ROOMS
            for path in sorted((root / room).rglob("*.py")) for name in undocumented(path)]
