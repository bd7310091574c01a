"""A worker of a training that a test starts by hand; imported by fresh processes."""

import os

# Imported before a worker begins, so that workers that are forked from here need not.
import rowgraph.forecasting.pretraining
import rowgraph.language.fine_tuning
import rowgraph.sage.opening
import rowgraph.sage.pretraining  # noqa: F401
from rowgraph.parallel.worker import work


def hand(order, rank, size, port):
    """Be one worker of an order."""
    os.environ.update(RANK=str(rank), LOCAL_RANK=str(rank), WORLD_SIZE=str(size),
                      MASTER_ADDR="127.0.0.1", MASTER_PORT=str(port))
    work(order, "no GPU")
