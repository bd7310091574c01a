"""A run of the UI on a Ray cluster: each asset is a Ray job, by dagster-ray, with what it asks for.

What dagster-ray takes from an asset's tags comes here from the plan's estimates at the moment at
which the run starts, when more of the home is finished than when the definitions were loaded.
"""

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
from dagster._core.definitions.executor_definition import multiple_process_executor_requirements
from dagster._core.execution.retries import RetryMode
from dagster._core.executor.base import Executor
from dagster._core.executor.init import InitExecutorContext
from dagster._core.executor.step_delegating import StepDelegatingExecutor, StepHandlerContext

from pipeline.costing import costs_of
from pipeline.environment import Environment
from pipeline.placing import Ask, asks_of
from pipeline.plan import plan
from resources.cluster import ray_installed, worker_environment


def ray_executor_of(environment: Environment) -> dg.ExecutorDefinition:
    """The executor of a profile whose engine is Ray."""

    @dg.executor(name="ray", requirements=multiple_process_executor_requirements(),
                 config_schema={})
    def executor(context: InitExecutorContext) -> Executor:
        ray_installed()
        from ray.job_submission import JobSubmissionClient

        found = asks_of(costs_of(environment, plan(environment)),
                        environment.profile.compute.processes)
        asks = {name.replace("/", "__"): ask for name, ask in found.items()}
        client = JobSubmissionClient(environment.profile.ray.address)
        return StepDelegatingExecutor(_steps(client, asks, environment),
                                      retries=RetryMode.DISABLED, should_verify_step=True)

    return executor


def _steps(client: Any, asks: dict[str, Ask], environment: Environment) -> Any:
    from dagster_ray.core.executor import RayStepHandler

    class Steps(RayStepHandler):
        """Submits steps, each with what its asset asks for."""

        def launch_step(self, step_handler_context: StepHandlerContext) -> Iterator[Any]:
            """Begin one; an asset that is finished asks for nothing."""
            ask = asks.get(self._get_step_key(step_handler_context))
            self.num_cpus, self.num_gpus, self.memory = (
                (ask.cpus, ask.gpus, ask.memory) if ask else (None, None, None))
            yield from super().launch_step(step_handler_context)

    told = {"PATH": f"{Path(sys.executable).parent}:${{PATH}}"}  # Ray fills in the node's own
    return Steps(client, None, {"env_vars": worker_environment() | environment.variables() | told},
                 None, None, None, None)
