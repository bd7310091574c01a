"""What a container may use is what counts."""

import psutil
import pytest

from pipeline.doctor import memory

GB = 1_000_000_000
VERSIONS = {"second": ("memory.max", "memory.current"),
            "first": ("memory/memory.limit_in_bytes", "memory/memory.usage_in_bytes")}


@pytest.mark.parametrize("version", VERSIONS)
def test_memory_is_that_of_the_container(version, tmp_path):
    for name, value in zip(VERSIONS[version], (GB, 400_000_000), strict=True):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"{value}\n")
    assert memory(tmp_path) == (GB, 600_000_000)


@pytest.mark.parametrize("limit", [None, "max", str(2**63 - 4096), "what?"])
def test_without_a_limit_memory_is_that_of_the_machine(limit, tmp_path):
    if limit:
        (tmp_path / "memory.max").write_text(limit)
    total, available = memory(tmp_path)
    assert total == psutil.virtual_memory().total
    assert 0 < available <= total
