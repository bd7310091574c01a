"""The table of bad inputs: how each is made, what is run, and what the answer has to say."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import dataclass

from rowgraph.shared_store import share
from tests.bad_inputs.database_inputs import FOLDERS, FOUND_IN_LABELS, FOUND_IN_VALUES, TASKS
from tests.bad_inputs.place import Place, setting, written
from tests.bad_inputs.profile_inputs import PATHS, PROFILES

Words = tuple[str, ...]  # of a command; {profile}, {league} and {root} are put in


@dataclass(frozen=True)
class Bad:
    """One kind of bad input.

    Args:
        make: spoils a place.
        says: what every answer contains, whatever else it says.
        commands: that are given, each with exit status `status` and `says`.
    """

    make: Callable[[Place], object]
    says: str
    commands: tuple[Words, ...]
    status: int = 1


def commands(*names: str) -> tuple[Words, ...]:
    return tuple((name, "-p", "{profile}") for name in names)


ALL = commands("databases", "plan", "run")
VALUES = commands("databases", "plan")  # the run reads no values first; `source` does


def variable(name: str, value: str) -> Callable[[Place], object]:
    return lambda place: place.environ(name, value.replace("{root}", str(place.root)))


NO_HOME = commands("databases", "plan", "results", "run")
ENVIRONMENT = {
    "a home that is a file": (lambda p: p.home.write_text(""), "home is no folder; set", NO_HOME),
    "a home below a file": (variable("ROWGRAPH_HOME", "{root}/tiny.yaml/home"), "Not a directory",
                            NO_HOME),
    "a home of a long name": (variable("ROWGRAPH_HOME", "x" * 300), "File name too long", NO_HOME),
    "a home that links to itself": (lambda p: p.home.symlink_to(p.home), "Too many levels of",
                                    NO_HOME),
    "a home that cannot be made": (variable("ROWGRAPH_HOME", "/proc/home"), "cannot be written",
                                   commands("run")),
    "a home whose settings are a folder": (lambda p: (p.home / "dagster.yaml").mkdir(parents=True),
                                           "dagster.yaml cannot be written (Is a directory)",
                                           commands("run")),
    "a home whose storage is a file": (lambda p: (p.home.mkdir(), (p.home / "dagster").touch()),
                                       "home/dagster cannot be written (File exists)",
                                       commands("run")),
    "a home behind a protocol that nobody knows": (
        variable("ROWGRAPH_HOME", "nope://bucket/prefix"),
        "nope://bucket/prefix cannot be opened", NO_HOME),
    "a shared folder that is not there": (
        variable("ROWGRAPH_HOME", "file://{root}/share"), "there is no such bucket or folder; make",
        NO_HOME),
    "a home that is shared and names nothing": (
        variable("ROWGRAPH_HOME", "file://"), "names no bucket or folder; write s3://", NO_HOME),
    "a home that is shared by another URL": (
        lambda p: (share(p.home, "file:///elsewhere"), p.environ("ROWGRAPH_CACHE", str(p.home)),
                   p.environ("ROWGRAPH_HOME", f"file://{p.root}")),
        "holds what is shared by file:///elsewhere; set ROWGRAPH_CACHE", NO_HOME),
    "a cache that is a file": (
        lambda p: (p.home.write_text(""), p.environ("ROWGRAPH_CACHE", str(p.home)),
                   p.environ("ROWGRAPH_HOME", f"file://{p.root}")),
        "home is no folder; set", NO_HOME),
    "no folder of databases": (variable("ROWGRAPH_DATABASES", "{root}/x"), "/x is no folder", ALL),
    "a file of databases": (variable("ROWGRAPH_DATABASES", "{root}/tiny.yaml"), "is no fold", ALL),
    "databases of a long name": (variable("ROWGRAPH_DATABASES", "x" * 5000), "is no folder", ALL),
    "a profile of the environment that nobody knows": (
        variable("ROWGRAPH_PROFILE", "nope"), "profile 'nope' does not exist", (("plan",),)),
    "a language model that is not there": (
        setting("bart_checkpoint: {checkpoint: ./model}"),
        "checkpoint names ./model, which is no folder with a config.json", commands("plan", "run")),
    "a selection of nothing": (lambda p: None, "--select nope matches no asset; stages are", ((
        "run", "-p", "{profile}", "-s", "nope"),)),
    "an empty selection": (lambda p: None, "matches no asset; stages are", ((
        "run", "-p", "{profile}", "-s", ""),)),
    "half a pattern": (lambda p: None, "--select [ matches no asset", ((
        "run", "-p", "{profile}", "-s", "["),)),
    "a database to import from that is not there": (
        lambda p: None, "there is no such file; SQLite would make an empty one",
        (("import", "sqlite:///{root}/x.db", "{root}/out", "--yes"),)),
    "a file to import that is a pipe": (
        lambda p: ((p.root / "csv").mkdir(), os.mkfifo(p.root / "csv/a.csv")),
        "a.csv is no regular file", (("import", "{root}/csv", "{root}/out", "--yes"),)),
    "decisions of an import that are a list": (
        written("csv.csv", "id\n1\n", lambda p: ((p.root / "out").mkdir(), (
            p.root / "out/import.yaml").write_text("- a"))),
        "import.yaml: the file: ", (("import", "{root}", "{root}/out", "--yes"),)),
}
QUERIES = {
    "an empty query": ("", "expected PREDICT, found the end of the query"),
    "no query": ("hello", "expected PREDICT, found hello"),
    "half a query": ("PREDICT COUNT(games.*, 0, 30, days)", "expected"),
    "a query and more": ("PREDICT COUNT(games.*, 0, 9, days) FOR EACH players.player_id; DROP",
                         "expected the end, found DROP"),
    "a query about no table": ("PREDICT COUNT(game.*, 0, 9, days) FOR EACH players.player_id",
                               "there is no table game; did you mean games?"),
    "a query about SQL": ('PREDICT COUNT("x""; DROP".*, 0, 9, days) FOR EACH players.player_id',
                          'there is no table x"; DROP; use one of'),
    "a query about no unit": ("PREDICT COUNT(games.*, 0, 9, moons) FOR EACH players.player_id",
                              "moons is no unit of time"),
    "a query about a moment": ("PREDICT COUNT(games.*, 0, 0.0000001) FOR EACH players.player_id",
                               "expected 0, or a number up to 1,000,000"),
    "a query about minutes": ("PREDICT COUNT(games.*, 0, 1, minutes) FOR EACH players.player_id",
                              "more than 100,000; ask for a longer one"),
    "a query without end": ("PREDICT COUNT(games.*, 0, 1e400) FOR EACH players.player_id",
                            "expected 0, or a number up to 1,000,000"),
    "a query about eternity": ("PREDICT COUNT(games.*, 0, 99999) FOR EACH players.player_id",
                               "ask for a nearer horizon"),
    "a query of many letters": ("x" * 100_000, "more than 4000 characters"),
    "a nested query": ("PREDICT " + "NOT " * 900 + "COUNT(games.*, 0, 9) > 1 FOR EACH "
                       "players.player_id", "nested too deeply; ask for less"),
}


def report(change: Callable[[dict], object]) -> Callable[[Place], object]:
    """The manifest of the report with something changed."""
    def make(place):
        path = place.report().folder / "manifest.json"
        content = json.loads(path.read_text())
        change(content)
        path.write_text(json.dumps(content))
    return make


def reported(name: str, content: str | bytes | None) -> Callable[[Place], object]:
    """A file of the report with other content; None removes it."""
    def make(place):
        path = place.report().folder / name
        path.unlink()
        if content is not None:
            path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return make


def flipped(place: Place) -> None:
    path = place.report().folder / "results.parquet"
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def handle(content: str) -> Callable[[Place], object]:
    return lambda place: (place.report(), (place.home / "handles/tiny/report.json").write_text(
        content))


BROKEN = "the manifest is broken; `rowgraph run --select report` makes it again"
NONE_YET = "has no report yet; make it with `rowgraph run"
ARTIFACTS = {
    "half an artifact's manifest": (reported("manifest.json", '{"key": ['), BROKEN),
    "an artifact's manifest that is empty": (reported("manifest.json", ""), BROKEN),
    "an artifact's manifest that is a list": (reported("manifest.json", "[]"), BROKEN),
    "an artifact's manifest of bytes": (reported("manifest.json", b"\xff\xfe"), BROKEN),
    "an artifact's manifest nested without end": (reported("manifest.json", "[" * 99_999), BROKEN),
    "an artifact without a data version": (report(lambda m: m.update(data_version="")), BROKEN),
    "an artifact without settings": (report(lambda m: m.pop("settings")), BROKEN),
    "an artifact whose files are a list": (report(lambda m: m.update(files=["a"])), BROKEN),
    "an artifact whose file has no size": (report(lambda m: m.update(files={"a": {}})), BROKEN),
    "an artifact whose file lies outside": (report(lambda m: m.update(files={
        "../../x": {"bytes": 1, "digest": ""}})), BROKEN),
    "an artifact of another recipe": (report(lambda m: m.update(recipe="0")), "and recipe 0, exp"),
    "an artifact of another format": (report(lambda m: m.update(format_version=2)), "format 2 and"),
    "an artifact without its file": (reported("results.parquet", None), "found no file"),
    "an artifact with half a file": (reported("results.parquet", "half"), "bytes, found 4; `row"),
    "an artifact with a bit flipped": (flipped, "the bytes are not those that were published"),
    "half a handle": (handle('{"key": '), NONE_YET),
    "a handle that is a list": (handle("[]"), NONE_YET),
    "a handle of another asset": (handle('{"key": ["source", "a"], "recipe": "0"}'), NONE_YET),
    "a handle that leads elsewhere": (handle('{"key": ["report"], "recipe": "../../x"}'), NONE_YET),
}

BAD: dict[str, Bad] = {
    **{n: Bad(make, says, ALL) for n, (make, says) in (PROFILES | FOLDERS | TASKS).items()},
    **{n: Bad(lambda place: (os.mkfifo(place.root / "pipe.yaml"), (
        place.root / "link.yaml").symlink_to("x")), says, tuple(
            (c, "-p", path) for c in ("databases", "plan", "run")))
       for n, (path, says) in PATHS.items()},
    **{n: Bad(make, says, VALUES) for n, (make, says) in FOUND_IN_VALUES.items()},
    **{n: Bad(make, says, commands("databases")) for n, (make, says) in FOUND_IN_LABELS.items()},
    **{n: Bad(make, says, given) for n, (make, says, given) in ENVIRONMENT.items()},
    **{n: Bad(lambda place: None, says, (("task", "{league}", query),))
       for n, (query, says) in QUERIES.items()},
    **{n: Bad(make, says, commands("results")) for n, (make, says) in ARTIFACTS.items()},
}
