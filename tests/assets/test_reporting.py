"""A run says how far it is, and a failure says why in its first line."""

import time

import dagster as dg
import pytest

from assets import reporting
from assets.reporting import Reporting, clock, explained
from resources.progress import ProgressResource
from resources.tracked_run import TrackedRun


def run(work):
    """The events of one asset that does some work with its `Reporting`."""
    @dg.asset
    def trained(context: dg.AssetExecutionContext):
        with Reporting(context, "trained", TrackedRun(None, None), ProgressResource(),
                       "http://127.0.0.1:5000/#/runs/1") as log:
            work(log)

    with dg.DagsterInstance.ephemeral() as instance:
        done = dg.materialize([trained], instance=instance, raise_on_error=False)
        lines = [e.user_message for e in instance.all_logs(done.run_id)
                 if e.user_message.startswith("trained: ")]
        observed = [e.asset_observation for e in instance.fetch_observations(
            dg.AssetKey("trained"), limit=50).records]
    return lines, list(reversed(observed)), done


def test_the_link_to_mlflow_stands_on_the_page_before_anything_is_trained():
    seen = []

    def work(log):
        seen.append(log.context.instance.fetch_observations(log.context.asset_key, limit=9).records)

    _, observed, _ = run(work)
    assert len(seen[0]) == 1
    assert observed[0].metadata["mlflow_run"].url.endswith("/runs/1")


def test_lines_and_figures_say_where_the_training_is_and_what_is_left(monkeypatch):
    monkeypatch.setattr(reporting, "CLOSEST", 0.0)

    def work(log):
        for step in range(1, 4):
            log(step, {"loss": 1 / step}, 10)
            time.sleep(0.02)

    lines, observed, _ = run(work)
    assert lines[1].startswith("trained: step 1 of 10 (10%): loss 1")
    assert lines[3].startswith("trained: step 3 of 10 (30%): loss 0.3333; ")
    assert lines[3].endswith(" a second, 0:00:00 left")
    assert [o.metadata["loss"].value for o in observed[1:]] == [1.0, 0.5, 1 / 3]
    assert observed[-1].metadata["of"].value == 10


def test_fast_steps_do_not_flood_the_log():
    lines, observed, _ = run(lambda log: [log(step, {"loss": 0.0}) for step in range(500)])
    assert len(lines) == len(observed) == 2  # the beginning and the first step


def test_a_silent_training_says_that_it_goes_on(monkeypatch):
    monkeypatch.setattr(reporting, "SILENCE", 1.0)
    lines, _, _ = run(lambda log: time.sleep(1.3))
    assert lines == ["trained: begun", "trained: in work for 0:00:01"]


def test_figures_that_are_no_numbers_are_left_out_of_the_page():
    _, observed, done = run(lambda log: log(1, {"loss": float("nan"), "rate": 0.1}))
    assert done.success
    assert set(observed[1].metadata) == {"step", "rate"}


def test_a_failure_is_explained_by_its_first_line():
    @explained()
    def fail():
        raise ValueError("races.driver: 3 keys dangle; repair the file")

    with pytest.raises(dg.Failure) as raised:
        fail()
    assert raised.value.description == "ValueError: races.driver: 3 keys dangle; repair the file"
    assert isinstance(raised.value.__cause__, ValueError)


def test_an_interruption_stays_one():
    with pytest.raises(KeyboardInterrupt), explained():
        raise KeyboardInterrupt


def test_hours_are_told_as_on_a_clock():
    assert clock(3_725.4) == "1:02:05"
