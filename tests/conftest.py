"""What every test needs: quiet libraries, no network, one thread."""

import os

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
# Tiny tensors gain nothing from threads and lose much where cores are shared.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# Small worlds that several rooms are tested on.
pytest_plugins = ("tests.worlds.buckets", "tests.worlds.races", "tests.worlds.texts",
                  "tests.worlds.windows", "tests.worlds.models")
