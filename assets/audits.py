"""`audit_passed` on `evaluation/<db>/<task>`: what `rowgraph audit` found, kept in the home.

An audit takes minutes, so no materialization runs it. Its verdict is about the data and the code
that it was run on, and counts for nothing else.
"""

import contextlib
import datetime
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import dagster as dg

from assets.catalog import AssetNode
from resources.store import StoreResource, read_handle
from rowgraph.artifacts import Key, file_digest
from rowgraph.randomness import digest
from rowgraph.shared_store import write_record

AUDIT = {"audit_passed": "Nothing that lies in a test row's future moves its prediction. `rowgraph "
                         "audit` tries it, which takes minutes; this shows its last verdict. "
                         "Skipped or not evaluated: nobody has audited this task yet."}
COMMAND = "`rowgraph audit --select {}`"


def keep_verdict(home: Path, key: Key, source: str, findings: Sequence[Any], line: str) -> None:
    """Write down what an audit found.

    Args:
        key: of the task's evaluation.
        source: data version of the audited `source`.
        findings: `rowgraph.evaluation.audit.Finding`, all of the task.
        line: the verdict in words.
    """
    path = _folder(home, key) / f"{source}.json"
    write_record(home, path, {
        "source": source, "code": code_digest(), "passed": all(f.passed for f in findings),
        "verdict": line, "findings": [asdict(f) for f in findings],
        "audited": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds")})


def audit_passed(home: Path, key: Key, source: str, task: str) -> dg.AssetCheckResult | None:
    """The verdict on a task; None where it was never audited.

    Args:
        key: of its evaluation.
        source: data version of the `source` that was evaluated.
        task: `database/task`, as the command line has it.
    """
    kept = []
    for path in sorted(_folder(home, key).glob("*.json")):
        with contextlib.suppress(ValueError):  # a broken verdict is none: audit again
            kept.append(json.loads(path.read_text()))
    if not kept:
        return None
    again = f"run {COMMAND.format(task)}"
    found = next((v for v in kept if v["source"] == source), None)
    if found is None:
        newest = max(kept, key=lambda v: v["audited"])
        return _result(newest, False, "WARN", "the last audit was of other data than were "
                       f"evaluated here and says nothing of these; {again}")
    if found["code"] != code_digest():
        return _result(found, False, "WARN", "the code has changed since the last audit of these "
                       f"data; {again}")
    return _result(found, found["passed"], "ERROR", found["verdict"])


def _result(verdict: Mapping[str, Any], passed: bool, severity: str,
            text: str) -> dg.AssetCheckResult:
    return dg.AssetCheckResult(
        check_name="audit_passed", passed=passed, severity=dg.AssetCheckSeverity[severity],
        description=text, metadata={
            "audited": verdict["audited"], "source_data_version": verdict["source"],
            "findings": dg.MetadataValue.table(
                [dg.TableRecord({k: v for k, v in f.items() if v is not None})
                 for f in verdict["findings"]])})


def evaluated_source(home: Path, profile: str, key: Key) -> str | None:
    """Data version of the `source` that a profile's latest evaluation was made of."""
    handle = read_handle(home, profile, key)
    artifact = handle and StoreResource(home=str(home), profile=profile).open().usable(
        key, handle["recipe"])
    return artifact.manifest["inputs"]["source"] if artifact else None


def audit_check(node: AssetNode) -> dg.AssetChecksDefinition:
    """The check of one task's evaluation; it reads, and gives no result where nobody audited."""
    key = list(node.key)

    @dg.multi_asset_check(
        name="audit__" + "__".join(node.key[1:]), required_resource_keys={"store"},
        can_subset=True,  # so that it may end without a result
        specs=[dg.AssetCheckSpec(name, asset=key, description=text)
               for name, text in AUDIT.items()])
    def _audit(context: dg.AssetCheckExecutionContext):
        store = context.resources.store
        home, task = Path(store.home), f"{node.database.name}/{node.task}"
        source = evaluated_source(home, store.profile, node.key)
        found = audit_passed(home, node.key, source, task) if source else None
        if found is None:
            context.log.info(f"{task} was never audited; {COMMAND.format(task)} does it")
        else:
            yield found

    return _audit


def code_digest() -> str:
    """Of the science: every Python file of `rowgraph/`."""
    import rowgraph

    root = Path(rowgraph.__file__).parent
    return digest({str(path.relative_to(root)): file_digest(path)
                   for path in sorted(root.rglob("*.py"))})


def _folder(home: Path, key: Key) -> Path:
    return Path(home).joinpath("audits", *key[1:])
