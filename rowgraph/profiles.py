"""Profile files: one YAML mapping of settings each, which may extend another."""

from __future__ import annotations

import difflib
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from rowgraph.settings import DatabaseSettings, Profile

PROFILE_DIR = Path(__file__).resolve().parent.parent / "profiles"


class SettingsError(ValueError):
    """A profile that cannot be used; the message names the setting and the next move."""


def profile_names() -> list[str]:
    """The names of the profiles that come with RowGraph."""
    return sorted(p.stem for p in PROFILE_DIR.glob("*.yaml"))


def load_profile(name_or_path: str | Path) -> Profile:
    """Read a profile, following `extends`.

    Args:
        name_or_path: the name of a profile in `profiles/` or the path of a YAML file.

    Raises:
        SettingsError: no such profile, YAML that does not parse, a cycle of `extends`, an unknown
            setting or a value out of range; the message names the setting.
    """
    path = _profile_path(name_or_path)
    tree = _merged(path, ())
    tree["name"] = path.stem
    try:
        return Profile.model_validate(tree)
    except ValidationError as error:
        raise SettingsError(_explain(error, path)) from None


def _profile_path(name_or_path: str | Path, beside: Path | None = None) -> Path:
    text = str(name_or_path)
    candidates = [PROFILE_DIR / f"{text}.yaml"]
    if text.endswith((".yaml", ".yml")) or "/" in text:
        candidates = [Path(text).expanduser()]
    if beside is not None:
        candidates += [beside / text, beside / f"{text}.yaml"]
    for path in candidates:
        if path.is_file():
            return path
    raise SettingsError(
        f"profile '{text}' does not exist; known profiles: {', '.join(profile_names())}. "
        "Pass one of these names or the path of a YAML file."
    )


def _merged(path: Path, seen: tuple[Path, ...]) -> dict[str, Any]:
    if path in seen:
        raise SettingsError(f"profile {path}: `extends` goes in a circle: "
                            f"{' -> '.join(p.stem for p in (*seen, path))}")
    try:
        tree = yaml.safe_load(path.read_text()) or {}
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise SettingsError(f"profile {path}: not readable as YAML: {error}") from None
    if not isinstance(tree, dict):
        raise SettingsError(f"profile {path}: expected a mapping of settings at the top")
    parent = tree.pop("extends", None)
    if parent is None:
        return tree
    base = _merged(_profile_path(parent, beside=path.parent), (*seen, path))
    return _overlay(base, tree)


def _overlay(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    out = dict(base)
    for key, value in over.items():
        if isinstance(value, dict) and isinstance(out.get(key), dict):
            out[key] = _overlay(out[key], value)
        else:
            out[key] = value
    return out


def _explain(error: ValidationError, path: Path) -> str:
    lines = []
    for item in error.errors():
        where = ".".join(str(part) for part in item["loc"]) or "profile"
        if item["type"] == "extra_forbidden":
            near = _near(item["loc"])
            lines.append(f"unknown setting `{where}`" + (f"; did you mean `{near}`?" if near else
                         "; remove it or see profiles/paper.yaml for every setting"))
        else:
            lines.append(f"`{where}`: {item['msg']} (found {item['input']!r})"[:400])
    return f"profile {path.name}: " + "; ".join(lines)


def _near(loc: tuple) -> str | None:
    model: Any = Profile
    if len(loc) > 1:
        model = DatabaseSettings if loc[0] == "databases" else (
            type(Profile.model_fields[loc[0]].default))
    found = difflib.get_close_matches(str(loc[-1]), list(model.model_fields), n=1)
    return found[0] if found else None
