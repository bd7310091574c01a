"""Nothing dated at or after a seed reaches any part of RowGraph's model."""

import numpy as np
import pytest

from rowgraph.tasks.loading import load_task


@pytest.fixture(scope="module")
def answers(hybrid_ran, lab, tmp_path_factory):
    def run(regime, time, start=None, end=None):
        tables = lab.frames()
        if start or end:
            tables = lab.corrupted(tables, start=start, end=end)
        made = lab.build_world(tmp_path_factory.mktemp("canary") / "db", tables)
        task = lab.upto(load_task(made.database, "driver-fails"), "test", time)
        _, predictions, _ = hybrid_ran(task, parts=("untrained", "own_past", "windows", "trees",
                                                    "finetuned", "history"))
        return {run.variant: splits["test"] for run, splits in predictions.items()
                if run.regime == regime and run.seed == 0}

    return run


@pytest.mark.parametrize("regime", ["frozen_db", "rolling"])
def test_the_future_changes_no_bit_and_the_past_changes_all(regime, answers, lab):
    time = int(lab.SEED_DATES[28])
    start = time if regime == "rolling" else lab.TEST + 1
    truth = answers(regime, time)
    future = answers(regime, time, start=start)
    past = answers(regime, time, end=start)
    for variant, mine in truth.items():
        assert np.array_equal(mine, future[variant]), variant
        assert not np.array_equal(mine, past[variant]), variant
