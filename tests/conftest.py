"""What every test needs: quiet libraries, no network, one thread."""

import os
import tempfile
from pathlib import Path

import pytest

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tiny tensors gain nothing from threads and lose much where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Small worlds that several rooms are tested on.
pytest_plugins = ("tests.worlds.buckets", "tests.worlds.races", "tests.worlds.texts",
                  "tests.worlds.windows", "tests.worlds.models")


@pytest.fixture(scope="session")
def cluster(tmp_path_factory):
    """Two Ray nodes of one core each, on this machine."""
    pytest.importorskip("ray", reason="Ray is an extra: pip install '.[ray]'")
    from ray._private.utils import get_ray_address_file
    from ray.cluster_utils import Cluster as Nodes

    from resources.cluster import connected, offers_of
    from rowgraph.side_by_side import Cluster

    node = {"num_cpus": 1, "memory": 4_000_000_000, "object_store_memory": 80_000_000}
    with tempfile.TemporaryDirectory(prefix="ray", ignore_cleanup_errors=True) as folder:
        address = Path(get_ray_address_file(None))  # Ray takes its folder for granted
        address.parent.mkdir(parents=True, exist_ok=True)
        nodes = Nodes(initialize_head=True, head_node_args={
            **node, "include_dashboard": False, "temp_dir": folder})
        try:
            nodes.add_node(**node)
            with connected(nodes.address) as ray:
                yield Cluster(ray, offers_of(ray))
        finally:
            nodes.shutdown()
