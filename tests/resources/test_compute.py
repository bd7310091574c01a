"""The device is the one asked for, held by one process at a time."""

import pytest

from resources.compute import ComputeError, ComputeResource


def test_cuda_asked_for_and_absent_is_refused(tmp_path, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ComputeError, match="no CUDA device"):
        ComputeResource(home=str(tmp_path), device="cuda:0").resolve()


def test_an_unknown_device_is_refused(tmp_path):
    with pytest.raises(ComputeError, match="auto, cpu or cuda"):
        ComputeResource(home=str(tmp_path), device="tpu").resolve()


def test_a_device_is_held_by_one_session_at_a_time(tmp_path):
    compute = ComputeResource(home=str(tmp_path), device="cpu")
    with compute.session() as device:
        assert device == "cpu"
        with pytest.raises(ComputeError, match="in use"), compute.session():
            pass
    with compute.session():
        pass


def test_threads_are_set_for_the_session(tmp_path):
    import torch

    before = torch.get_num_threads()
    try:
        with ComputeResource(home=str(tmp_path), device="cpu", threads=before + 1).session():
            assert torch.get_num_threads() == before + 1
    finally:
        torch.set_num_threads(before)
