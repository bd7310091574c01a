"""How many threads and processes there are, and of linear algebra one."""

import time

import pytest
import torch
from threadpoolctl import threadpool_info, threadpool_limits

from pipeline.costing import machine
from resources.compute import ComputeResource
from rowgraph.side_by_side import processes_of
from rowgraph.threads import cores, one_thread


def threads_of_blas():
    return [found["num_threads"] for found in threadpool_info() if found["user_api"] == "blas"]


def test_linear_algebra_has_one_thread_within_and_what_it_had_after():
    with threadpool_limits(2, user_api="blas"):
        before = threads_of_blas()
        with one_thread():
            assert set(threads_of_blas()) == {1}
        assert threads_of_blas() == before


def test_to_ask_again_costs_nothing():
    with one_thread():
        pass
    started = time.process_time()
    for _ in range(100):
        with one_thread():
            pass
    assert time.process_time() - started < 0.2  # to look for the libraries takes 0.4 to 0.9 s


def test_a_containers_quota_bounds_what_runs_side_by_side(monkeypatch):
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)  # which reads affinity and quota
    assert cores() == processes_of(None, "cpu") == machine()["cores"] == 3
    assert processes_of(5, "cpu") == 5
    assert processes_of(None, "cuda:0") == 1


@pytest.mark.parametrize(("asked", "usual", "has"), [(None, 64, 3), (None, 2, 2), (8, 64, 8)])
def test_pytorch_takes_no_more_than_its_container_may_use(asked, usual, has, tmp_path, monkeypatch):
    set_to = []
    monkeypatch.setattr("joblib.cpu_count", lambda: 3)
    monkeypatch.setattr(torch, "get_num_threads", lambda: usual)
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    with ComputeResource(home=str(tmp_path), device="cpu", threads=asked).session():
        assert set_to == [has]
