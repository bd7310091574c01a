"""The code location that `dagster dev` loads: the profile of ROWGRAPH_PROFILE.

Importing this loads neither torch nor transformers, torch_geometric, mlflow or relbench: the UI,
the command line and every sensor tick would pay seconds for each.
"""

from pipeline.assembly import build_definitions
from pipeline.following import follow_profile, read_or_kept

environment, broken = read_or_kept()
defs = build_definitions(environment, sensors=[follow_profile(environment, broken)])
