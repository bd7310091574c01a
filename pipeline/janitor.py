"""Runs whose process is gone: marked failed, and their place in the pool given back.

A killed `rowgraph run` cannot say goodbye. Without this its run would stay STARTED for ever, and
the next one would wait for its place in the pool `gpu`.
"""

import os
import socket

import dagster as dg

PROCESS, HOST = "rowgraph/process", "rowgraph/host"
UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
              dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]


def process_tags() -> dict[str, str]:
    """Tags by which a later process can tell whether this one still lives."""
    return {PROCESS: str(os.getpid()), HOST: socket.gethostname()}


def settle(instance: dg.DagsterInstance) -> list[str]:
    """Fail the runs of this host whose process is gone.

    Returns:
        What still runs, for people: such a run may hold the device for a while.
    """
    alive = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        process = run.tags.get(PROCESS)
        if process is None or run.tags.get(HOST) != socket.gethostname():
            alive.append(f"run {run.run_id[:8]}")
        elif _lives(int(process)):
            alive.append(f"run {run.run_id[:8]} of process {process}")
        else:
            instance.report_run_failed(run, f"process {process} is gone")
            instance.event_log_storage.free_concurrency_slots_for_run(run.run_id)
    return alive


def _lives(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True
