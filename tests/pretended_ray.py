"""Ray as `rowgraph.side_by_side` uses it, in this process: pieces travel as bytes, and the one that
was begun last is done first. What processes and nodes do is tested on a cluster of its own
(`tests.conftest.cluster`), which takes half a minute for each kind of work."""

from __future__ import annotations

import pickle
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from rowgraph.side_by_side import Cluster, Offer


class Never(Exception):
    """Nothing is lost here."""


class PretendedRay:
    """What a piece asked for stands in `asked`.

    Args:
        before: called before each piece is done; `rowgraph.kept.forget` makes every worker new.
    """

    exceptions = SimpleNamespace(RayTaskError=Never, RayError=Never)

    def __init__(self, before: Callable[[], None] = lambda: None) -> None:
        self.before = before
        self.asked: list[dict[str, Any]] = []

    put = staticmethod(pickle.dumps)

    def remote(self, **options: Any) -> Callable[[Callable[..., Any]], Any]:
        def task(function: Callable[..., Any]) -> Any:
            def begin(shared: bytes, *others: Any) -> Callable[[], bytes]:
                self.asked.append(options)
                sent = pickle.dumps(others)

                def work() -> bytes:
                    self.before()
                    return pickle.dumps(function(pickle.loads(shared), *pickle.loads(sent)))

                return work

            return SimpleNamespace(remote=begin)

        return task

    def wait(self, references: list[Any], num_returns: int) -> tuple[list[Any], list[Any]]:
        return references[-num_returns:], references[:-num_returns]

    def get(self, reference: Callable[[], bytes]) -> Any:
        return pickle.loads(reference())


def pretended(before: Callable[[], None] = lambda: None) -> Cluster:
    """Two machines of one core each."""
    return Cluster(PretendedRay(before), [Offer(cpus=1, gpus=0, memory=4e9)] * 2)
