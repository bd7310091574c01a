"""The code location that `dagster dev` and `dg dev` load: the profile of ROWGRAPH_PROFILE.

Importing this loads neither torch nor transformers, torch_geometric, mlflow or relbench: the UI,
the command line and every sensor tick would pay seconds for each.
"""

from pipeline.assembly import build_definitions
from pipeline.environment import Environment

defs = build_definitions(Environment.read())
