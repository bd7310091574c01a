"""The device is the one asked for, held by one process at a time."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from resources.compute import ComputeError, ComputeResource
from rowgraph.parallel.launch import Launch


def test_cuda_asked_for_and_absent_is_refused(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ComputeError, match="no CUDA device"):
        ComputeResource(home=str(tmp_path), device="cuda:0").resolve()


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(ComputeError, match="auto, cpu or cuda"):
        ComputeResource(home=str(tmp_path), device="tpu").resolve()


def test_a_device_is_held_by_one_session_at_a_time(tmp_path, caplog):
    compute = ComputeResource(home=str(tmp_path), device="cpu")
    order = []

    def second():
        with compute.session() as device:
            order.append(f"second has {device}")

    with ThreadPoolExecutor(1) as pool:
        with compute.session():
            waiting = pool.submit(second)
            while "the device cpu is in use" not in caplog.text:
                time.sleep(0.01)
            order.append("first is done")
        waiting.result()
    assert order == ["first is done", "second has cpu"]


def test_threads_are_set_for_the_session(tmp_path):
    import torch

    before = torch.get_num_threads()
    try:
        with ComputeResource(home=str(tmp_path), device="cpu", threads=before + 1).session():
            assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)


def test_trainings_are_shared_as_the_profile_says_and_on_gpus_where_the_device_is_one(tmp_path):
    compute = ComputeResource(home=str(tmp_path), device="cpu", processes=3, threads=2)
    assert compute.launch("cpu") == Launch(3, threads=2)
    assert compute.launch("cuda:0") == Launch(3, gpus=True, threads=2)
    ray = compute.model_copy(update={"engine": "ray", "ray_address": "head:6379", "ray_fewest": 2})
    assert ray.launch("cpu") == Launch(3, "head:6379", threads=2, fewest=2)
