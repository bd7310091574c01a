"""What a benchmark takes from the pipeline: finished artifacts of a profile."""

from __future__ import annotations

import contextlib

from pipeline.environment import Environment
from pipeline.plan import plan, select_assets, with_upstream
from pipeline.running import run
from resources.progress import ProgressResource
from rowgraph.artifacts import Artifact


def materialized(profile: str, stage: str) -> Artifact:
    """The artifact of a stage without a database; made first where it is missing.

    Raises:
        SystemExit: an asset failed; the message names it.
    """
    environment = Environment.read(profile)
    planned = plan(environment)
    todo = with_upstream(planned, [p for p in select_assets(planned, [stage])
                                   if p.action != "current"])
    if todo:
        print(f"making {', '.join(p.node.name for p in todo)} of the profile {profile} …",
              flush=True)
        for failure in run(environment, todo, set(), ProgressResource(), tracked=False):
            raise SystemExit(f"{failure.asset} failed. {failure.error}")
    with contextlib.suppress(StopIteration):
        return next(p.artifact for p in plan(environment) if p.node.key == (stage,))
    raise SystemExit(f"the profile {profile} has no asset {stage}")
