"""What is wrong with a profile, in the words of its file."""

from __future__ import annotations

import difflib
import re
from typing import Any

from pydantic import ValidationError

from rowgraph.settings import Section, plain_types

PROBLEMS = 10  # that are said at once
PLAIN_WORDS = {  # of pydantic, in those of YAML
    r"valid dictionary( or instance of \w+)?": "mapping of settings",
    "valid tuple": "list", "Tuple should": "a list should", " after validation, not \\d+": "",
    "a valid string": "text, in quotes", "Keys should be strings": "names of settings are text"}


def problems_of(error: ValidationError, profile: type[Section],
                handed_on: tuple[str, ...]) -> str:
    """What is wrong with a profile, in one line.

    Args:
        error: of its validation.
        profile: whose settings are known.
        handed_on: sections that `splits` is handed on to; what is wrong with it they do not say
            again.
    """
    items = error.errors()
    if any(item["loc"][:1] == ("splits",) for item in items):
        items = [item for item in items if item["loc"][:1] not in [(s,) for s in handed_on]]
    lines = [_problem(item, profile) for item in items[:PROBLEMS]]
    more = f"; and {len(items) - PROBLEMS} more" if len(items) > PROBLEMS else ""
    return "; ".join(lines) + more


def _problem(item: Any, profile: type[Section]) -> str:
    where = ".".join(str(part) for part in item["loc"])[:100]
    if item["type"] == "extra_forbidden":
        near = _near(item["loc"], profile)
        return f"unknown setting `{where}`" + (f"; did you mean `{near}`?" if near else
               "; remove it or see profiles/paper.yaml for every setting")
    said = item["msg"].removeprefix("Value error, ").replace("Input should be", "should be")
    if item["type"] == "value_error":  # it says itself what was found
        return f"`{where}`: {said}" if where else said
    if item["type"] == "missing":
        return f"`{where}` is missing; add it"
    for words, plain in PLAIN_WORDS.items():
        said = re.sub(words, plain, said)
    return f"`{where}`: {said} (found {_short(item['input'])})"


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:80]} …"


def _near(loc: tuple, model: Any) -> str | None:
    for part in loc[:-1]:
        if (field := model.model_fields.get(part)) is not None:
            kinds = plain_types(field.annotation)
            model = next((kind for kind in kinds if issubclass(kind, Section)), model)
    found = difflib.get_close_matches(str(loc[-1]), list(model.model_fields), n=1)
    return found[0] if found else None
