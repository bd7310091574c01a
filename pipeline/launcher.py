"""How the UI starts and ends runs: as Dagster does, but it also knows of `rowgraph run`."""

import os
import signal
from typing import Any

import dagster as dg
from dagster._core.launcher import CheckRunHealthResult, DefaultRunLauncher, WorkerStatus

from pipeline.janitor import PROCESS, host_tags, lives, process_of


class RunLauncher(DefaultRunLauncher):
    """Starts runs in processes of the UI, and can end and watch those of a terminal too."""

    def launch_run(self, context: Any) -> None:
        """Start it, and note on which host."""
        self._instance.add_run_tags(context.dagster_run.run_id, host_tags())
        super().launch_run(context)

    def terminate(self, run_id: str) -> bool:
        """End it: a `rowgraph run` as Ctrl-C in its terminal would."""
        run = self._instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            return False
        if PROCESS not in run.tags:
            return super().terminate(run_id)
        process = process_of(self._instance, run)
        if process is None:
            self._instance.report_engine_event(
                "This run belongs to a terminal on another host; end it there.", run)
            return False
        self._instance.report_run_canceling(run)
        if lives(self._instance, run):
            os.kill(process, signal.SIGINT)
        else:
            self._instance.report_run_canceled(run, f"process {process} is gone")
        return True

    @property
    def supports_check_run_worker_health(self) -> bool:
        """So that the daemon asks."""
        return True

    def check_run_worker_health(self, run: dg.DagsterRun) -> CheckRunHealthResult:
        """Whether its process lives."""
        if lives(self._instance, run):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(
            WorkerStatus.FAILED, f"process {process_of(self._instance, run)} is gone")
