"""A killed run neither stays STARTED nor keeps its place in the pool."""

import os
import subprocess
import sys
import time

import dagster as dg
import pytest
from dagster._core.instance.config import PoolGranularity
from dagster._core.launcher import WorkerStatus

from pipeline.environment import Environment
from pipeline.janitor import HOST, PROCESS, host_tags, process_tags, settle
from rowgraph.profiles import load_profile

SLEEP = """
import time
print(flush=True)
try:
    time.sleep(60)
except KeyboardInterrupt:
    raise SystemExit(7)
"""


@pytest.fixture(scope="module")
def shared(tmp_path_factory):
    home = tmp_path_factory.mktemp("home")
    with Environment(load_profile("demo"), home).instance() as instance:
        yield instance


@pytest.fixture
def instance(shared):
    """One without runs and without places taken."""
    for run in shared.get_runs():
        shared.event_log_storage.free_concurrency_slots_for_run(run.run_id)
        shared.delete_run(run.run_id)
    for holder in shared.event_log_storage.get_concurrency_run_ids():
        shared.event_log_storage.free_concurrency_slots_for_run(holder)
    return shared


@dg.job
def nothing():
    """A job without steps."""


def started(instance, **tags):
    run = instance.create_run_for_job(nothing, tags=tags)
    instance.report_engine_event("started", run)
    instance.report_run_canceling(run)
    return run.run_id


def gone() -> str:
    child = subprocess.Popen([sys.executable, "-c", ""])
    child.wait()
    return str(child.pid)


def test_a_run_whose_process_is_gone_is_failed_and_its_place_given_back(instance):
    run_id = started(instance, **{**process_tags(), PROCESS: gone()})
    storage = instance.event_log_storage
    storage.set_concurrency_slots("gpu", 1)
    assert storage.claim_concurrency_slot("gpu", run_id, "step").is_claimed
    assert settle(instance) == []
    assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE
    assert storage.claim_concurrency_slot("gpu", "another", "step").is_claimed


def test_a_run_that_lives_is_left_alone_and_named(instance):
    run_id = started(instance, **process_tags())
    assert settle(instance) == [f"run {run_id[:8]} of process {os.getpid()}"]
    assert instance.get_run_by_id(run_id).status != dg.DagsterRunStatus.FAILURE


def test_a_run_of_the_ui_is_judged_by_the_process_that_its_log_names(instance):
    dead, alive = (started(instance, **host_tags()) for _ in range(2))
    for run_id, process in ((dead, gone()), (alive, os.getpid())):
        instance.report_engine_event(f"Started process for run (pid: {process}).",
                                     instance.get_run_by_id(run_id))
    assert settle(instance) == [f"run {alive[:8]} of process {os.getpid()}"]
    assert instance.get_run_by_id(dead).status == dg.DagsterRunStatus.FAILURE


def test_a_run_that_is_over_holds_no_place_and_heads_no_queue(instance):
    storage = instance.event_log_storage
    storage.set_concurrency_slots("gpu", 1)
    over = started(instance)
    assert storage.claim_concurrency_slot("gpu", over, "step").is_claimed
    waiting = started(instance)
    assert not storage.claim_concurrency_slot("gpu", waiting, "step").is_claimed
    for run_id in (over, waiting):
        instance.report_run_failed(instance.get_run_by_id(run_id))
    settle(instance)
    assert storage.claim_concurrency_slot("gpu", "another", "step").is_claimed


def test_another_process_with_the_number_of_a_dead_one_is_not_taken_for_it(instance, monkeypatch):
    run_id = started(instance, **process_tags())
    monkeypatch.setattr("pipeline.janitor.psutil.Process.create_time",
                        lambda self: time.time() + 60)
    assert settle(instance) == []
    assert instance.get_run_by_id(run_id).status == dg.DagsterRunStatus.FAILURE


def test_the_ui_ends_a_run_of_a_terminal_as_ctrl_c_would(instance):
    terminal = subprocess.Popen([sys.executable, "-c", SLEEP], stdout=subprocess.PIPE)
    terminal.stdout.readline()
    run_id = started(instance, **{**process_tags(), PROCESS: str(terminal.pid)})
    assert instance.run_launcher.terminate(run_id)
    assert terminal.wait(10) == 7


def test_a_run_whose_terminal_is_gone_is_canceled_by_the_ui_and_failed_by_its_daemon(instance):
    asked, watched = (started(instance, **{**process_tags(), PROCESS: gone()}) for _ in range(2))
    assert instance.run_launcher.terminate(asked)
    assert instance.get_run_by_id(asked).status == dg.DagsterRunStatus.CANCELED
    health = instance.run_launcher.check_run_worker_health(instance.get_run_by_id(watched))
    assert health.status == WorkerStatus.FAILED


def test_a_run_in_this_process_takes_no_place_in_a_pool(instance):
    assert instance.global_op_concurrency_default_limit == 1
    assert instance.event_log_storage.get_pool_config().pool_granularity == PoolGranularity.RUN


def test_a_run_of_another_host_is_not_judged(instance):
    run_id = started(instance, **{PROCESS: gone(), HOST: "elsewhere"})
    assert settle(instance) == [f"run {run_id[:8]}"]
