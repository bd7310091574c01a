"""`forecast_weights` and `own_past_weights/<db>`: the row-and-graph encoder, trained on forecast
questions about other databases, or about a database's own past."""

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from rowgraph.artifacts import Artifact


def forecast_weights(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The weights of other databases' pasts."""

    @dg.asset(**spec(node, code_version, "The row-and-graph encoder, trained on forecast questions "
                     "about every pre-training database and about synthetic ones, with all names "
                     "turned at random in each step."),
              kinds={"pytorch"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _forecast_weights(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.figures import curve_chart, read_curves
            from rowgraph.parallel.launching import launched

            compute = context.resources.compute
            names = [n.removeprefix("source__") for n in inputs if n.startswith("source__")]
            databases = {n: folders_of(inputs, f"__{n}") for n in names}
            with compute.session() as device:
                summary = launched("forecast_weights", {"databases": databases}, settings, draft,
                                   device=device, log=log, launch=compute.launch(device))
            curve_chart(read_curves(draft.folder), node.name, draft.notes / "curves.png")
            return summary

        return build(context, node, inputs, make)

    return _forecast_weights


def own_past_weights(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The weights of one database's own past."""

    @dg.asset(**spec(node, code_version, "The row-and-graph encoder, trained on forecast questions "
                     "about a held-out database's own past, without labels: several seeds, each "
                     "until the cuts at which something is chosen or finally fitted."),
              kinds={"pytorch"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _own_past_weights(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.databases.database import Database
            from rowgraph.figures import own_past_chart
            from rowgraph.forecasting.own_past import ends_of
            from rowgraph.parallel.launching import launched
            from rowgraph.tasks.loading import load_task

            database = Database.open(inputs["source"].folder)
            ends = ends_of(database, [load_task(database, t) for t in settings.tasks],
                           settings.folds)
            others = inputs.get("forecast_weights")
            told = {"database": folders_of(inputs), "ends": ends,
                    "start": None if others is None else str(others.folder.resolve())}
            compute = context.resources.compute
            with compute.session() as device:
                summary = launched("own_past_weights", told, settings, draft, device=device,
                                   log=log, launch=compute.launch(device))
            own_past_chart(draft.folder, node.name, draft.notes / "curves.png")
            return summary

        return build(context, node, inputs, make)

    return _own_past_weights


def folders_of(inputs: dict[str, Artifact], which: str = "") -> dict[str, str]:
    """Where a database lies among the inputs, with its graph and cells, in any process.

    Args:
        which: what the names of its inputs end with.
    """
    return {stage: str(inputs[f"{stage}{which}"].folder.resolve())
            for stage in ("source", "entity_graph", "cell_store")}


def reading(inputs: dict[str, Artifact], which: str = ""):
    """A database among the inputs, with its graph and cells.

    Args:
        which: what the names of its inputs end with.
    """
    from rowgraph.databases.database import Database
    from rowgraph.forecasting.own_past import Reading

    return Reading(Database.open(inputs[f"source{which}"].folder),
                   inputs[f"entity_graph{which}"].folder, inputs[f"cell_store{which}"].folder)
