import pytest

from tests.worlds.schemas import Brute, random_task


@pytest.fixture(scope="session")
def schemas():
    """Random schemas and the judge of what is computed from them."""
    from types import SimpleNamespace

    return SimpleNamespace(random_task=random_task, Brute=Brute)
