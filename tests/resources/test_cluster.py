import sys

import pytest

from resources import cluster as clusters
from resources.cluster import ClusterError, connected, seen_by_all


def test_a_cluster_that_does_not_answer_is_one_line_with_the_next_move(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install '.[ray]'")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (pytest.raises(ClusterError, match=r"127.0.0.1:9 and no cluster.*ray start --head"),
          connected("127.0.0.1:9")):
        pass


@pytest.mark.parametrize("words", [
    "ray client connection timeout\nmore of it",
    "The client server could not start:\nTraceback (most recent call last):\n"
    "  File 'x', line 3\nray client connection timeout"])
def test_of_a_clients_long_message_the_cause_is_said(words, monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install '.[ray]'")

    def refuse(*_, **__):
        raise ConnectionError(words)

    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    monkeypatch.setattr(ray, "init", refuse)
    with (pytest.raises(ClusterError, match=r"answers there \(ray client connection timeout\)"),
          connected("auto")):
        """Nobody is there."""


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (pytest.raises(ClusterError, match=r"pip install 'rowgraph\[ray\]'"),
          connected("auto")):
        pass


def sees_only_here(folder):
    """As a node does that has not mounted what the driver's machine has."""
    import ray

    head = next(n["NodeID"] for n in ray.nodes() if "node:__internal_head__" in n["Resources"])
    return ray.get_runtime_context().get_node_id() == head


def cannot_start(folder):
    raise ModuleNotFoundError("No module named 'rowgraph'")


def test_a_folder_that_every_node_sees_is_left_as_it_was(cluster, tmp_path):
    (tmp_path / "here").touch()
    seen_by_all(cluster.ray, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["here"]


def test_a_node_that_does_not_see_the_home_is_named_before_anything_is_done(
        cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_sees", sees_only_here)
    with pytest.raises(ClusterError, match=rf"node [\d.]+ .* at {tmp_path}; mount the folder"):
        seen_by_all(cluster.ray, tmp_path)


def test_a_node_without_rowgraph_is_named(cluster, tmp_path, monkeypatch):
    monkeypatch.setattr(clusters, "_sees", cannot_start)
    with pytest.raises(ClusterError, match=r"cannot run RowGraph \(No module named 'rowgraph'\)"):
        seen_by_all(cluster.ray, tmp_path)
