"""Bad profiles, and what is said of each by whatever command reads one."""

from __future__ import annotations

from collections.abc import Callable

from tests.bad_inputs.place import LAUGHS, PROFILE, Place, profile, setting, written

ROLES = "databases: [{name: a, role: pretrain}, {name: b, role: heldout, tasks: [t]}]\n"




def shop(change: str) -> Callable[[Place], object]:
    return profile(PROFILE.replace("role: pretrain", f"role: pretrain, {change}"))


def league(tasks: str) -> Callable[[Place], object]:
    return profile(PROFILE.replace("tasks: [wins, score]", f"tasks: {tasks}"))


PROFILES = {
    "an unknown section": (setting("sage_weight: {}"), "did you mean `sage_weights`?"),
    "an unknown setting": (setting("sage_weights: {gama: 1}"), "`sage_weights.gama`; did you mean"),
    "an unknown setting within": (
        setting("downstream_metrics: {joint: {layer: 1}}"), "joint.layer`; did you mean `layers`"),
    "a section twice": (setting("splits: {}\nsplits: {}"), "`splits` is written twice"),
    "a setting twice": (setting("splits: {folds: 1, folds: 2}"), "`folds` is written twice"),
    "a section of nothing": (setting("sage_weights:"), "should be a mapping of settings"),
    "a section that is a list": (setting("report: [1]"), "`report`: should be a mapping"),
    "a number of nothing": (setting("splits: {folds: null}"), "`splits.folds`: should be a valid"),
    "a number as text": (setting("splits: {folds: three}"), "`splits.folds`: should be a valid"),
    "half a count": (setting("splits: {folds: 1.5}"), "`splits.folds`: should be a valid integer"),
    "a truth as a number": (setting("splits: {folds: true}"), "folds is true, expected a number"),
    "a truth among numbers": (
        setting("baseline_metrics: {seeds: [true, 0]}"), "seeds is [true, 0], expected a number"),
    "a number as a truth": (
        setting("linearized_corpus: {keys: 1}"), "keys is 1, expected true or false"),
    "a word that is true in one YAML": (setting("linearized_corpus: {keys: yes}"), "'yes' is read"),
    "a number of seconds": (setting("sampled_rows: {rows: 1:40}"), "'1:40' is read in one way"),
    "an octal number": (setting("sampled_rows: {seed: 010}"), "'010' is read in one way"),
    "a rate without end": (setting("bart_checkpoint: {learning_rate: .inf}"), "a finite number"),
    "a rate that is none": (setting("sage_weights: {learning_rate: .nan}"), "a finite number"),
    "a rate beyond reason": (
        setting("forecast_weights: {learning_rate: 1e300}"), "less than or equal to 1"),
    "a share beyond one": (setting("splits: {label_share: 2}"), "less than or equal to 1"),
    "a seed twice": (setting("peer_metrics: {seeds: [0, 0]}"), "seed 0 is listed more than once"),
    "a regime twice": (setting("splits: {regimes: [rolling, rolling]}"), "list each once"),
    "no regime": (setting("splits: {regimes: []}"), "`splits.regimes`: a list should have"),
    "an unknown regime": (setting("splits: {regimes: [x]}"), "'frozen_db' or 'rolling'"),
    "no neighbours": (setting("sage_weights: {fan_out: [0, 1]}"), "fan_out.0`: should be greater"),
    "heads that do not share": (
        setting("bart_checkpoint: {checkpoint: null, heads: 3}"), "must be a multiple of heads"),
    "a device that is none": (setting("compute: {device: gpu}"), "expected auto, cpu or cuda:n"),
    "an engine that is none": (setting("compute: {engine: spark}"),
                               "`compute.engine`: should be 'local' or 'ray'"),
    "an address that is none": (setting("ray: {address: http://host}"),
                                "`ray.address`: expected auto"),
    "no threads": (setting("compute: {threads: 0}"), "`compute.threads`: should be greater than 0"),
    "no processes": (setting("compute: {processes: 0}"), "`compute.processes`: should be greater"),
    "a GPU by number on a cluster": (
        setting('compute: {engine: ray, device: "cuda:1"}'), "compute.device is cuda:1 and"),
    "more at the fewest": (setting("compute: {processes: 2}\nray: {fewest: 3}"),
                           "ray.fewest is 3 and compute.processes 2"),
    "a sweep that names nothing": (setting("sage_sweep: {a-b: {}}"), "use letters, digits and _"),
    "a sweep of a long name": (setting(f"sage_sweep: {{{'a' * 300}: {{}}}}"), "_, at most 100"),
    "settings of no task": (setting("task_settings: {wins: {}}"), "no task 'wins'; there are tiny"),
    "a name of its own": (setting("name: x"), "`name`; a profile is called as its file is"),
    "a name that is a number": (setting("3: 4"), "`3`: names of settings are text"),
    "a name that is a list": (setting("? [a]\n: 4"), "found unhashable key"),
    "a tag": (setting("report: !!python/object:os.system x"), "is not used here"),
    "figures of no file": (setting("report: {published: x.csv}"), "there is no such file"),
    "figures of a pipe": (
        written("x.csv", None, setting("report: {published: x.csv}")), "it is no regular file"),
    "figures of a device": (setting("report: {published: /dev/zero}"), "it is no regular file"),
    "figures of bytes": (written("x.csv", b"\xff\xfe", setting("report: {published: x.csv}")),
                         "which cannot be read ('utf-8' codec"),
    "figures beside their columns": (
        written("x.csv", "database\na,b\n", setting("report: {published: x.csv}")),
        "`report.published.0.task` is missing"),
    "no databases": (profile("report: {}"), "`databases` is missing; add it"),
    "an empty file": (profile(""), "`databases` is missing; add it"),
    "a list": (profile("- a"), "expected a mapping of settings at the top"),
    "no YAML": (profile("a: ["), "not readable as YAML: line 1"),
    "tabs": (setting("report:\n\ttitle: a"), "found character '\\t'"),
    "two documents": (profile("a: 1\n---\nb: 1\n"), "found another document"),
    "bytes": (profile(bytes(range(256))), "is not UTF-8; save it as UTF-8"),
    "another encoding": (profile(PROFILE.encode("utf-16")), "byte 0 is not UTF-8"),
    "a null byte": (setting("a: \0"), "special characters are not allowed"),
    "a billion laughs": (setting(LAUGHS), "its aliases stand for more than 100000 values"),
    "an alias of itself": (setting("a: &a [*a]"), "stands for what holds it"),
    "nesting without end": (profile("[" * 3000), "nested more than 50 levels deep"),
    "a file without end": (profile("#" * (3 << 20)), "more than the 2097152 that a settings"),
    "nothing but unknown settings": (
        setting("".join(f"k{i}: 1\n" for i in range(99))), "; and 89 more"),
    "an extension of itself": (profile("extends: tiny"), "`extends` goes in a circle: tiny"),
    "extensions in a circle": (written("two.yaml", "extends: tiny", profile("extends: two")),
                               "goes in a circle: tiny -> two -> tiny"),
    "an extension of nothing": (setting("extends: nope"), "'nope' does not exist; known profiles"),
    "an extension of a folder": (setting("extends: databases"), "expected a YAML file, found a"),
    "an extension of a list": (setting("extends: [demo, f1]"), "expected the name or the path"),
    "an extension of a number": (setting("extends: 3"), "`extends` is '3', expected the name"),
    "databases as a mapping": (profile("databases: {name: a}"), "`databases`: should be a list"),
    "databases as names": (profile("databases: [a]"), "`databases.0`: should be a mapping"),
    "a database without a name": (profile("databases: [{role: pretrain}]"), "name` is missing"),
    "a database without a role": (profile("databases: [{name: a}]"), "role` is missing; add it"),
    "a role that is none": (profile(ROLES.replace("pretrain", "train")), "'pretrain' or 'heldout'"),
    "a database twice": (profile(ROLES.replace("name: b", "name: a")), "a name is listed twice"),
    "none that is held out": (profile("databases: [{name: a, role: pretrain}]"), "none has `role:"),
    "none to learn from": (profile("databases: [{name: b, role: heldout, tasks: [t]}]"),
                           "none has `role: pretrain`, and this profile pre-trains"),
    "a database that is a path": (profile(ROLES.replace("name: a", "name: ../a")), "the name of a"),
    "a database that is SQL": (profile(ROLES.replace("name: a", "name: 'a\"; x'")), "the name of"),
    "a name without end": (profile(ROLES.replace("name: a", f"name: {'a' * 300}")), "at most 100"),
    "a task that is a path": (league("[../../x]"), "'../../x' cannot be the name of a task"),
    "a task that is no list": (league("wins"), "tasks`: should be a list (found 'wins')"),
    "a task that is a number": (league("[3]"), "tasks.0`: should be text, in quotes (found 3)"),
    "a task twice": (league("[wins, wins]"), "a task is listed twice"),
    "no entities": (shop("entities: 0"), "entities`: should be greater than 0"),
    "knowledge that is a list": (shop("knowledge: [a]"), "knowledge`: should be a mapping"),
    "knowledge of no form": (shop("knowledge: {orders: 3}"), "expected names and what is said"),
}
PATHS = {
    "a profile that nobody knows": ("nope", "profile 'nope' does not exist; known profiles: base"),
    "a profile of a long name": ("x" * 5000, f"profile '{'x' * 80}' does not exist"),
    "a folder as a profile": ("{root}/databases", "expected a YAML file, found a folder, a pipe"),
    "a pipe as a profile": ("{root}/pipe.yaml", "expected a YAML file, found a folder, a pipe"),
    "a link to nothing as a profile": ("{root}/link.yaml", "expected a YAML file, found a folder"),
    "a device as a profile": ("/dev/zero", "expected a YAML file, found a folder, a pipe"),
}
