from __future__ import annotations

import functools
import os
import signal
import time
from pathlib import Path

import pytest
import torch

from rowgraph.side_by_side import Cluster, Offer, elsewhere, on, side_by_side
from tests.pretended_ray import PretendedRay

OFFERS = [Offer(cpus=4, gpus=0, memory=3e9), Offer(cpus=1, gpus=2, memory=64e9)]


def slower_at_first(folder: Path, piece: int) -> tuple[int, int]:
    """The first piece takes longest; the second dies with its worker the first time."""
    time.sleep(0.5 if piece == 0 else 0)
    if piece == 1 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return piece, os.getpid()


def refuse(piece: int) -> None:
    raise KeyError(piece)


def test_a_cluster_gives_the_pieces_in_order_though_a_worker_is_killed(cluster, tmp_path):
    with on(cluster):
        found = list(side_by_side(functools.partial(slower_at_first, tmp_path), range(4),
                                  processes=1, device="cpu"))
    assert [piece for piece, _ in found] == [0, 1, 2, 3]
    assert (tmp_path / "died").exists()
    assert os.getpid() not in {process for _, process in found}
    assert not elsewhere()


def refuse_the_first(folder: Path, piece: int) -> None:
    if piece == 0:
        raise KeyError(piece)
    time.sleep(0.2)
    (folder / str(piece)).touch()


def test_pieces_at_work_when_another_fails_end_by_themselves_and_keep_what_they_have(
        cluster, tmp_path):
    with on(cluster), pytest.raises(KeyError):
        list(side_by_side(functools.partial(refuse_the_first, tmp_path), range(40), processes=1,
                          device="cpu"))
    while not list(tmp_path.iterdir()):
        time.sleep(0.05)
    with on(cluster):  # and the cluster is there for others
        assert list(side_by_side(abs, [-1], processes=1, device="cpu")) == [1]
    assert len(list(tmp_path.iterdir())) < 10


def test_what_a_piece_raises_in_a_cluster_is_raised_as_it_is(cluster):
    with on(cluster), pytest.raises(KeyError, match="7"):
        list(side_by_side(refuse, [7], processes=1, device="cpu"))


def threads_of(_) -> int:
    return torch.get_num_threads()


def test_a_piece_computes_in_a_cluster_with_the_threads_that_are_asked_for(cluster):
    with on(cluster):
        found = [list(side_by_side(threads_of, range(2), processes=1, device="cpu", threads=count))
                 for count in (3, 1)]
    assert found == [[3, 3], [1, 1]]


def test_a_plain_piece_asks_for_one_core_whatever_the_others_ask_for():
    cluster = Cluster(PretendedRay(), [Offer(cpus=8, gpus=1, memory=8e9)], workers=3)
    before = torch.get_num_threads()
    with on(cluster):
        found = list(side_by_side(abs, [-1, -2, -3, -4], processes=1, device="cuda", threads=before,
                                  plain=lambda piece: piece % 2 == 0))
    assert found == [1, 2, 3, 4]
    asked = sorted((options["num_cpus"], options["num_gpus"]) for options in cluster.ray.asked)
    assert asked == [(1, 0), (1, 0), (before, 0.9), (before, 0.9)]


def test_processes_stay_from_one_call_to_the_next_however_few_the_pieces():
    def who(pieces):
        return set(side_by_side(lambda _: time.sleep(0.05) or os.getpid(), range(pieces),
                                processes=3, device="cpu"))

    def everybody():
        found = set()
        while len(found) < 3:  # one of them may be slow to start
            found |= who(12)
        return found

    first = everybody()
    who(2)
    assert os.getpid() not in first
    assert everybody() == first


def test_pieces_in_this_process_leave_its_number_of_threads():
    before = torch.get_num_threads()
    assert list(side_by_side(torch.set_num_threads, [before + 1], processes=1,
                             device="cpu")) == [None]
    assert torch.get_num_threads() == before


@pytest.mark.parametrize(("gpu", "gigabytes", "workers", "places"), [
    (False, 1.0, None, 4), (False, 2.0, None, 2), (True, 2.0, None, 1), (False, 1.0, 2, 2)])
def test_places_are_bounded_by_cores_memory_gpus_and_the_setting(gpu, gigabytes, workers, places):
    assert Cluster(None, OFFERS, workers).places(gpu, gigabytes) == places


def test_a_piece_of_several_threads_takes_as_many_cores_and_no_more_than_any_able_machine_has():
    offers = [Offer(cpus=64, gpus=0, memory=8e9), Offer(cpus=16, gpus=1, memory=8e9),
              Offer(cpus=8, gpus=0, memory=1e9), Offer(cpus=0, gpus=1, memory=8e9)]
    cluster = Cluster(None, offers)
    assert Cluster(None, [Offer(cpus=64, gpus=8, memory=64e9)]).cores_for(64, True, 2.0) == 8
    assert Cluster(None, [Offer(cpus=2, gpus=8, memory=64e9)]).cores_for(64, True, 2.0) == 1
    assert cluster.cores_for(1, False, 2.0) == 1
    assert cluster.cores_for(32, False, 2.0) == 16  # the one of 8 lacks memory
    assert cluster.cores_for(32, True, 2.0) == 16
    assert cluster.cores_for(32, False, 0.5) == 8
    assert cluster.places(False, 2.0, cpus=16) == 4 + 1
    assert cluster.places(True, 2.0, cpus=16) == 1
    with pytest.raises(RuntimeError, match=r"has 32 cores, 9\.0 GB for"):
        cluster.places(False, 9.0, cluster.cores_for(32, False, 9.0))


def test_a_piece_that_no_machine_holds_is_refused_with_what_there_is():
    with pytest.raises(RuntimeError, match=r"no machine.*100.0 GB and a GPU.*1 CPUs, 2 GPUs, 64"):
        Cluster(None, OFFERS).places(True, 100.0)
