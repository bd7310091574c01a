"""A killed run neither stays STARTED nor keeps its place in the pool."""

import os
import subprocess
import sys

import dagster as dg
import pytest

from pipeline.environment import Environment
from pipeline.janitor import HOST, PROCESS, process_tags, settle
from rowgraph.profiles import load_profile


@pytest.fixture
def instance(tmp_path):
    with Environment(load_profile("demo"), tmp_path).instance() as instance:
        yield instance


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


def test_a_run_of_another_host_is_not_judged(instance):
    run_id = started(instance, **{PROCESS: gone(), HOST: "elsewhere"})
    assert settle(instance) == [f"run {run_id[:8]}"]
