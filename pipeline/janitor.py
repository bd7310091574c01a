"""Runs whose process is gone: marked failed, their places in pools given back, MLflow told.

A killed process cannot say goodbye. Without this its run would stay STARTED for ever, runs of the
UI would wait for its place in the pool `gpu`, and its MLflow run would stay RUNNING.
"""

import os
import re
import socket

import dagster as dg
import psutil

from resources.tracking import TrackingResource

PROCESS, HOST = "rowgraph/process", "rowgraph/host"
UNFINISHED = [dg.DagsterRunStatus.NOT_STARTED, dg.DagsterRunStatus.STARTING,
              dg.DagsterRunStatus.STARTED, dg.DagsterRunStatus.CANCELING]
STARTED = re.compile(r"(?:Started process for run|parent process|steps in process) \(pid: (\d+)\)")
SLACK = 2.0  # seconds between two clocks


def host_tags() -> dict[str, str]:
    """Tags of a run that this host works on."""
    return {HOST: socket.gethostname()}


def process_tags() -> dict[str, str]:
    """Tags by which a later process can tell whether this one still lives."""
    return {PROCESS: str(os.getpid()), **host_tags()}


def settle(instance: dg.DagsterInstance, tracking: TrackingResource | None = None) -> list[str]:
    """Fail the runs of this host whose process is gone; give back the places of runs that ended,
    and close their MLflow runs as KILLED.

    Returns:
        What still runs, for people: such a run may hold the device for a while.
    """
    alive = []
    for run in instance.get_runs(dg.RunsFilter(statuses=UNFINISHED)):
        process = process_of(instance, run)
        if process is None or lives(instance, run):
            alive.append(f"run {run.run_id[:8]}" + (f" of process {process}" if process else ""))
        else:
            instance.report_run_failed(run, f"process {process} is gone")
    _free(instance)
    if tracking is not None:
        tracking.close(lambda run_id: bool(
            (run := instance.get_run_by_id(run_id)) and run.is_finished))
    return alive


def _free(instance: dg.DagsterInstance) -> None:
    storage = instance.event_log_storage
    holding = {claimed.run_id for pool in storage.get_concurrency_keys()
               for claimed in storage.get_concurrency_info(pool).claimed_slots}
    for run_id in holding | storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            storage.free_concurrency_slots_for_run(run_id)


def process_of(instance: dg.DagsterInstance, run: dg.DagsterRun) -> int | None:
    """The process on this host that works on a run; None where that is not known."""
    found = _process(instance, run)
    return found[0] if found else None


def lives(instance: dg.DagsterInstance, run: dg.DagsterRun) -> bool:
    """Whether a run's process lives; True where that is not known.

    A process that began after the run did is another one with the same number.
    """
    found = _process(instance, run)
    if found is None:
        return True
    number, known_at = found
    try:
        process = psutil.Process(number)
        return (process.status() != psutil.STATUS_ZOMBIE
                and process.create_time() <= known_at + SLACK)
    except psutil.AccessDenied:
        return True
    except psutil.NoSuchProcess:
        return False


def _process(instance: dg.DagsterInstance, run: dg.DagsterRun) -> tuple[int, float] | None:
    """Number of a run's process and the time (Unix seconds) by which it had begun."""
    if run.tags.get(HOST) != socket.gethostname():
        return None
    if process := run.tags.get(PROCESS):
        record = instance.get_run_record_by_id(run.run_id)
        return int(process), record.create_timestamp.timestamp()
    for entry in reversed(instance.all_logs(run.run_id, of_type=dg.DagsterEventType.ENGINE_EVENT)):
        if match := STARTED.search(entry.dagster_event.message or ""):
            return int(match[1]), entry.timestamp
    return None
