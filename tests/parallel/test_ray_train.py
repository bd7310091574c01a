"""Workers by Ray Train, on a Ray of this machine; starting it takes seconds, so it is done once."""

import os
import signal
from pathlib import Path
from types import SimpleNamespace

import pytest

from rowgraph.artifacts import Draft
from rowgraph.parallel.launch import Launch
from rowgraph.parallel.launching import launched

pytest.importorskip("ray.train", reason="Ray is an extra: pip install '.[ray]'")
pytestmark = pytest.mark.skipif(not Path("/proc/self/cmdline").exists(),
                                reason="finds workers by /proc")


def workers(order):
    """The process ids of Ray's workers that have the progress of an order open."""
    found = []
    for process in Path("/proc").glob("[0-9]*"):
        try:
            if any(str(order.with_suffix(".progress")) == os.readlink(link)
                   for link in (process / "fd").iterdir()):
                found.append(int(process.name))
        except OSError:
            continue
    return [pid for pid in found if pid != os.getpid()]


def test_workers_by_ray_end_with_the_same_bytes_though_one_of_them_is_killed(
        trainings, by_hand, tmp_path):
    stage, inputs, settings = trainings["sage_weights"]
    settings = settings.model_copy(update={"epochs": 40})  # seconds, so that one can be killed
    by_hand(stage, inputs, settings, tmp_path / "by hand")
    folder, killed = tmp_path / "ray", []
    folder.mkdir()

    def log(step, metrics, of):
        if step >= 15 and not killed:
            both = workers(folder / "state" / "order.json")
            assert len(both) == 2
            killed.append(both[-1])
            os.kill(both[-1], signal.SIGKILL)

    launched(stage, inputs, settings, Draft(folder), device="cpu", log=log,
             launch=Launch(2, ray_address="local"))
    assert killed
    for file in ("shared", "projections", "decoder"):
        file = f"{file}.safetensors"
        assert (folder / file).read_bytes() == (tmp_path / "by hand" / file).read_bytes()


def test_no_cluster_at_its_address_is_one_line(monkeypatch):
    import ray

    from rowgraph.parallel.ray_train import connect

    def nobody(*_, **settings):
        raise ConnectionError("nobody")

    monkeypatch.setattr(ray, "init", nobody)
    with pytest.raises(ValueError, match=r"no Ray cluster answers at 'auto'.*ray start --head"):
        connect("auto", 2)


@pytest.mark.parametrize(("gpus", "said"), [(False, "each with a CPU, and the Ray cluster has 2"),
                                            (True, "each with a GPU, and the Ray cluster has 0")])
def test_more_workers_than_the_cluster_holds_are_refused_and_not_waited_for(
        gpus, said, monkeypatch, tmp_path):
    import ray

    from rowgraph.parallel.ray_train import RayTrain

    monkeypatch.setattr(ray, "is_initialized", lambda: True)
    monkeypatch.setattr(ray, "cluster_resources", lambda: {"CPU": 2.0})
    with pytest.raises(ValueError, match=rf"compute.processes is 3, {said}"):
        RayTrain(tmp_path / "order.json", Launch(3, "auto", gpus), None)


def test_workers_meet_at_the_address_that_their_node_has_in_the_cluster(monkeypatch):
    import ray

    from rowgraph.parallel.ray_train import _meet_where_ray_does

    monkeypatch.setattr(ray, "get_runtime_context",
                        lambda: SimpleNamespace(get_node_id=lambda: "b"))
    monkeypatch.setattr(ray, "nodes", lambda: [
        {"NodeID": "a", "NodeManagerAddress": "10.0.0.1"},
        {"NodeID": "b", "NodeManagerAddress": "127.0.0.1"}])
    told = {}
    monkeypatch.setattr(os, "putenv", told.__setitem__)
    _meet_where_ray_does()
    assert told == {"GLOO_SOCKET_IFNAME": "lo"}


def test_places_of_workers_that_never_met_are_given_back(cluster):
    from ray.util import placement_group, placement_group_table

    from rowgraph.parallel.ray_train import _give_back

    ours = placement_group([{"CPU": 1}])
    cluster.ray.get(ours.ready())
    taken = set(placement_group_table())
    left = placement_group([{"CPU": 1}])
    cluster.ray.get(left.ready())
    _give_back(taken)
    table = placement_group_table()
    assert table[left.id.hex()]["state"] == "REMOVED"
    assert table[ours.id.hex()]["state"] == "CREATED"
    _give_back(set())
