"""The settings reference: every section of a profile, from the classes that read it."""

from __future__ import annotations

import ast
import inspect
import io
import json
import re
import textwrap
import tokenize
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic import BaseModel

from docs.generating.markdown import table
from rowgraph.databases.settings import DatabaseSettings
from rowgraph.profiles import Profile, load_profile
from rowgraph.settings import Section

PAPER_TEST = Path(__file__).resolve().parents[2] / "tests" / "test_paper.py"
OWN = ("task_settings", "sage_sweep", "owners", "tags")  # no sections
HEAD = """# Settings

A profile is a YAML file. It names databases and changes settings; `extends: demo` takes the rest
from another profile. Each section below is a key of that file. The **default** is the paper's value
wherever the paper gives one (*Paper* names its section, and a test asserts the value), so the
profile `paper` changes nothing here but its databases and its sweep; *demo* shows what the profile
`demo` sets instead. Settings marked † change no result: changing one re-runs nothing.
Unknown keys are refused with the nearest name. What re-runs when a section changes is a table of
[Operating](../operating.md#what-re-runs).
"""


def text() -> str:
    """The page."""
    demo, paper, cited = load_profile("demo"), load_profile("paper"), citations()
    parts = [HEAD, _section("databases", "One entry of the list `databases`.", DatabaseSettings)]
    for name, field in Profile.model_fields.items():
        if isinstance(field.default, Section):
            parts.append(_section(name, "", type(field.default), getattr(demo, name),
                                  getattr(paper, name), cited))
    parts.append("\n## Beside the sections\n\n" + table(
        ("key", "what it is"), [(f"`{name}`", comments(Profile).get(name, "")) for name in OWN]))
    return "\n".join(parts)


def _section(name: str, lead: str, kind: type[Section], demo: Section | None = None,
             paper: Section | None = None, cited: dict[str, str] | None = None) -> str:
    said, rows = comments(kind), []
    for field, facts in kind.model_fields.items():
        neutral = (facts.json_schema_extra or {}).get("neutral")
        default = "required" if facts.is_required() else value(facts.default)
        theirs = [getattr(profile, field) for profile in (demo, paper) if profile is not None]
        differ = ["" if facts.default == found else value(found) for found in theirs]
        row = [f"`{field}`{' †' if neutral else ''}", default, *differ[:1]]
        if cited is not None:
            row.append(cited.get(f"{name}.{field}", ""))
            if differ[1]:
                raise ValueError(f"the paper profile changes {name}.{field}: give it a column")
        rows.append((*row, "; ".join(filter(None, (said.get(field, ""), choices(facts))))))
    head = ("setting", "default", *(["demo", "Paper"] if cited is not None else []), "what it is")
    body = table(head, rows) if rows else ""
    return f"\n## `{name}` {{ #{name} }}\n\n{lead or inspect.getdoc(kind)}\n\n{body}"


def value(found: Any) -> str:
    """A setting's value as YAML would hold it, in one line."""
    if isinstance(found, BaseModel):
        found = found.model_dump(mode="json")
    plain = json.loads(json.dumps(found, default=lambda v: v.model_dump(mode="json")))
    if plain is None:
        return "`null`"
    if plain in ([], {}):
        return "none"
    return f"`{plain if isinstance(plain, str) else json.dumps(plain)}`".replace('"', "")


def choices(facts: Any) -> str:
    """The words that a setting may be."""
    def words(annotation: Any) -> Iterator[str]:
        if get_origin(annotation) is Literal:
            yield from map(str, get_args(annotation))
        else:
            for inner in get_args(annotation):
                yield from words(inner)

    found = list(dict.fromkeys(words(facts.annotation)))
    return "one of " + ", ".join(f"`{w}`" for w in found) if len(found) > 1 else ""


def comments(kind: type[BaseModel]) -> dict[str, str]:
    """What the source says beside and above each field, of a class and of those it extends."""
    found: dict[str, str] = {}
    for base in reversed(kind.__mro__):
        if not issubclass(base, BaseModel) or base in (BaseModel, Section):
            continue
        source = textwrap.dedent(inspect.getsource(base))
        said = {}
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type == tokenize.COMMENT:
                said[token.start[0]] = (token.string[1:].strip(), token.line.lstrip()[0] == "#")
        group = ""
        for node in ast.parse(source).body[0].body:
            if not isinstance(node, ast.AnnAssign):
                continue
            above, line = [], node.lineno - 1
            while line in said and said[line][1]:
                above.insert(0, said[line][0])
                line -= 1
            if above and above[-1].endswith(":"):
                group, above = above[-1][:-1].lower(), []
                group = "" if group == "both" else group
            beside = [said[node.end_lineno][0]] if node.end_lineno in said else []
            words = " ".join([*([f"{group}:"] if group else []), *above, *beside])
            found[node.target.id] = re.sub(r":$", "", words)
    return found


def citations() -> dict[str, str]:
    """Where the paper gives a value, by `section.setting`: what `tests/test_paper.py` asserts."""
    tree, names, found = ast.parse(PAPER_TEST.read_text()), {}, {}

    def dotted(node: ast.AST) -> str:
        if isinstance(node, ast.Attribute):
            return f"{dotted(node.value)}.{node.attr}"
        return names.get(node.id, "") if isinstance(node, ast.Name) else ""

    for node in tree.body:
        if isinstance(node, ast.Assign):
            targets, values = node.targets[0], node.value
            for target, given in zip(getattr(targets, "elts", [targets]),
                                     getattr(values, "elts", [values]), strict=True):
                names[target.id] = dotted(given)
    for node in ast.walk(tree):
        if isinstance(node, ast.Tuple) and len(node.elts) == 3:
            where = node.elts[2]
            for inner in ast.walk(node.elts[0]):
                if isinstance(inner, ast.Attribute) and isinstance(where, ast.Constant):
                    found.setdefault(dotted(inner).strip("."), str(where.value).split(":")[0])
    return found
