"""Whatever stands in a settings file is read or refused in its reader's own words, at once.

ROWGRAPH_FUZZ_SECONDS=600 looks for as long in each reader, with other draws each time.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Callable
from typing import Any

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from resources.store import handle_path, read_handle
from rowgraph.artifacts import read_manifest
from rowgraph.databases.checking import check_database
from rowgraph.databases.database import Database
from rowgraph.databases.knowledge import Knowledge, KnowledgeError
from rowgraph.profiles import STAGES, SettingsError, load_profile
from rowgraph.tasks.loading import check_tasks
from tests.bad_inputs.place import PROFILE, SQL

FOR = float(os.environ.get("ROWGRAPH_FUZZ_SECONDS", 0))
EXAMPLES = 50
CPU_SECONDS = 1.0  # of one input

WORDS = st.sampled_from([
    "yes", "010", "1:40", "~", "", "[", "{", "*a", "&a x", "!!int ''", "!!python/object:os.system",
    "<<", "=", "|", ">", "- ", "? ", ": ", "\t", "\0", "\ufeff", "\u2028", "\x85", "---", "...",
    "%YAML 9.9", ".inf", ".nan", "-.inf", "1e999", "9" * 400, "0x" + "f" * 99, "2020-13-45",
    "0001-01-01", "9999-12-31", "0000-00-00", "2020-01-01T25:00:00Z", "NaT", "^a.*$", "../..",
    "/dev/zero", "a" * 300, "\"", "'", "\ud83d\ude00".encode("utf-16", "surrogatepass").decode(
        "utf-16"), "demo", "tiny-league", "wins", "games", "players", "player_id", "date", "null",
    "true", "-1", "0", "1", "1.5", "9999999 days", "-3 days", "1us", "forecast", "autocomplete",
    "external", "recommendation", "SELECT 1; SELECT 2", "SELECT {x}"])
SCALARS = (st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=12)
           | st.dates() | st.datetimes() | WORDS)


def trees(names: list[str]) -> st.SearchStrategy[Any]:
    """Values whose keys are often known ones."""
    keys = st.sampled_from(names) | st.text(max_size=6) | st.integers() | st.none()
    return st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        keys, inner, max_size=5), max_leaves=12)


@st.composite
def edited(draw: Any, text: str) -> str:
    """A sound file after a few slips of the hand."""
    for _ in range(draw(st.integers(1, 4))):
        start = draw(st.integers(0, len(text)))
        end = min(len(text), start + draw(st.integers(0, 12)))
        put = draw(WORDS | st.text(max_size=4) | st.just(text[start:end] * 2) | st.just("\n"))
        text = text[:start] + put + text[end:]
    return text


@st.composite
def grafted(draw: Any, text: str, names: list[str]) -> str:
    """A sound file with something else in the place of one of its values."""
    tree = yaml.safe_load(text)
    at = tree
    while True:
        keys = list(at) if isinstance(at, dict) else list(range(len(at)))
        key = draw(st.sampled_from([*keys, *names]) if isinstance(at, dict) else
                   st.sampled_from(keys))
        inner = at.get(key) if isinstance(at, dict) else at[key]
        if isinstance(inner, dict | list) and inner and draw(st.booleans()):
            at = inner
            continue
        at[key] = draw(trees(names))
        return yaml.safe_dump(tree, sort_keys=False, allow_unicode=draw(st.booleans()))


def files(text: str, names: list[str]) -> st.SearchStrategy[bytes]:
    """Content of a file that should be like this one."""
    texts = edited(text) | grafted(text, names) | trees(names).map(
        lambda tree: yaml.safe_dump(tree, allow_unicode=True))
    return texts.map(lambda t: t.encode("utf-8", "surrogatepass")) | st.binary(max_size=60)


def look_for(inputs: st.SearchStrategy[Any], read: Callable[[Any], object]) -> None:
    """Read many inputs, for `FOR` seconds or `EXAMPLES` times."""
    seen = 0

    def timed(content: Any) -> None:
        nonlocal seen
        seen += 1
        started = time.process_time()
        read(content)
        assert time.process_time() - started < CPU_SECONDS

    quiet = settings(max_examples=500 if FOR else EXAMPLES, deadline=None, database=None,
                     suppress_health_check=list(HealthCheck))
    end, draw = time.monotonic() + FOR, 0
    while draw == 0 or time.monotonic() < end:
        seed(draw)(quiet(given(inputs)(timed)))()
        draw += 1
    print(f"{seen} inputs")


SECTIONS = {name: section().model_dump(mode="json") for name, section in STAGES.items()}
SPOILT = ("bart_checkpoint", "sage_weights", "baseline_metrics", "report")  # few, as YAML is slow
FULL = PROFILE + yaml.safe_dump({
    **{name: SECTIONS[name] for name in SPOILT},
    "splits": {"folds": 3}, "compute": {"device": "cpu"},
    "sage_sweep": {"a": {"gamma": 1.0}}, "task_settings": {"tiny-league/wins": {
        "baseline_metrics": {"trees": 7}}}})
SETTINGS = sorted({"extends", "databases", "name", "role", "tasks", "knowledge", "published",
                   "report", *SECTIONS, *(k for section in SECTIONS.values() for k in section)})


@pytest.mark.timeout(0 if FOR else 300)
def test_any_profile_is_read_or_refused(place):
    def read(content):
        place.profile.write_bytes(content)
        with contextlib.suppress(SettingsError):
            load_profile(place.profile)
    place.profile.write_text(FULL)
    assert load_profile(place.profile).splits.folds == 3  # what is spoilt was sound
    look_for(files(FULL, SETTINGS), read)


MANIFEST_NAMES = ["name", "manifest_version", "description", "val_timestamp", "test_timestamp",
                  "tables", "pkey", "time_col", "fkeys", "players", "games", "points", "date"]


@pytest.mark.timeout(0 if FOR else 300)
def test_any_manifest_is_read_or_refused(place):
    path = place.league / "manifest.yaml"

    def read(content):
        path.write_bytes(content)
        report = check_database(place.league)
        if not report.problems:
            check_tasks(Database.open(place.league), ["wins", "score"])
    look_for(files(path.read_text(), MANIFEST_NAMES), read)


TASK = yaml.safe_dump({
    "name": "wins", "kind": "forecast", "task_type": "binary_classification",
    "entity_table": "players", "entity_col": "player_id", "target_col": "target",
    "time_col": "timestamp", "timedelta": "30 days", "sql": SQL,
    "remove_columns": [["games", "points"]], "num_eval_timestamps": 1})
TASK_NAMES = [*yaml.safe_load(TASK), "eval_k", "extra_files", "src_entity_table", "src_entity_col",
              "dst_entity_table", "dst_entity_col", "manifest_version", "evaluator"]


@pytest.mark.timeout(0 if FOR else 300)
@pytest.mark.parametrize("shipped", [True, False], ids=["with labels", "without labels"])
def test_any_manifest_of_a_task_is_read_or_refused(place, shipped):
    folder = place.league / "tasks/wins"
    for labels in () if shipped else folder.glob("*.parquet"):
        labels.unlink()

    def read(content):
        (folder / "manifest.yaml").write_bytes(content)
        report = check_database(place.league, values=False)
        if not report.problems:
            check_tasks(Database.open(place.league), ["wins"])
    sound = (folder / "manifest.yaml").read_text() if shipped else TASK
    look_for(files(sound, TASK_NAMES), read)


@pytest.mark.timeout(0 if FOR else 300)
def test_any_knowledge_is_read_or_refused(place):
    said = "games:\n  valid_until: date\n  columns:\n    points: {known_at: date, because: x}\n"
    names = ["games", "players", "columns", "valid_until", "known_at", "because", "points", "date",
             "export", "itself", "as_is", "scheduled", "drop"]

    def read(content):
        (place.league / "knowledge.yaml").write_bytes(content)
        check_database(place.league, values=False)
        with contextlib.suppress(KnowledgeError):
            Knowledge.read(place.league)
    look_for(files(said, names), read)


JSON = trees(["format_version", "key", "stage", "revision", "recipe", "data_version", "settings",
              "inputs", "summary", "files", "libraries", "origin", "bytes", "digest"])


@pytest.mark.timeout(0 if FOR else 300)
def test_any_manifest_of_an_artifact_and_any_handle_is_read_or_none(place):
    sound = json.loads((place.report().folder / "manifest.json").read_text())
    path, handle = place.home / "manifest.json", handle_path(place.home, "tiny", ("report",))
    whole = json.dumps(sound)

    def read(content):
        for file in (path, handle):
            file.write_bytes(content)
        manifest, found = read_manifest(path), read_handle(place.home, "tiny", ("report",))
        assert manifest is None or manifest["data_version"]
        assert found is None or found["recipe"].isalnum()
    look_for(edited(whole).map(lambda t: t.encode("utf-8", "surrogatepass")) | JSON.map(
        lambda tree: json.dumps(tree, default=str).encode()) | st.binary(max_size=60), read)
