import sys

import pytest

from resources.cluster import ClusterError, connected


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
