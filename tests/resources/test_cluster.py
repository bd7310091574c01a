import sys

import pytest

from resources.cluster import ClusterError, connected


def test_a_cluster_that_does_not_answer_is_one_line_with_the_next_move(monkeypatch):
    ray = pytest.importorskip("ray", reason="Ray is an extra: pip install '.[ray]'")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with (pytest.raises(ClusterError, match=r"127.0.0.1:9 and no cluster.*ray start --head"),
          connected("127.0.0.1:9")):
        pass


def test_without_ray_it_is_said_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "ray", None)
    with (pytest.raises(ClusterError, match=r"pip install 'rowgraph\[ray\]'"),
          connected("auto")):
        pass
