"""`adapted_model` and `predictions` of `<db>/<task>`: a model for good, and what it says today."""

from pathlib import Path

import dagster as dg

from assets.building import GPU_POOL, build, spec
from assets.catalog import AssetNode
from assets.forecasting import reading
from assets.launchpad import settings_of
from resources.champions import served
from rowgraph.artifacts import Artifact, ArtifactStore


def adapted_model(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """The saved model of one task."""

    @dg.asset(**spec(node, code_version, "What folds chose, fitted on train and validation and "
                     "saved whole: arrays, trees as text, weights, settings. What it serves is "
                     "compared with what was measured before it is published."),
              kinds={"pytorch", "lightgbm"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _adapted_model(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        def make(draft, settings, log):
            from rowgraph.adaptation.hybrid.finetuning import Ground
            from rowgraph.adaptation.hybrid.settings import RowgraphMetricsSettings
            from rowgraph.databases.database import Database
            from rowgraph.features.settings import WindowFeaturesSettings
            from rowgraph.serving.fitting import fit_adapted
            from rowgraph.tasks.loading import load_task

            features, metrics = inputs["window_features"], inputs["rowgraph_metrics"]
            chosen = RowgraphMetricsSettings.model_validate(metrics.manifest["settings"])
            task = load_task(Database.open(inputs["source"].folder), node.task, chosen)
            with context.resources.compute.session() as device:
                ground = Ground(reading(inputs), task, inputs["own_past_weights"].folder, None,
                                chosen, device)
                return fit_adapted(
                    ground, features.folder,
                    WindowFeaturesSettings.model_validate(features.manifest["settings"]),
                    metrics.folder, draft, workers=settings.workers, log=log)

        output = build(context, node, inputs, make)
        store, tracking = context.resources.store, context.resources.tracking
        if uri := tracking.serve(output.value, store.profile):
            context.add_output_metadata({"mlflow_model": uri})
        return output

    return _adapted_model


def predictions(node: AssetNode, code_version: str) -> dg.AssetsDefinition:
    """What the saved model of one task says of a date."""

    @dg.asset(**spec(node, code_version, "Everybody who is asked about at a date, by default right "
                     "after the newest row: own keys, prediction, spread, rank. Kept by date, and "
                     "scored when the horizon has passed."),
              kinds={"parquet"}, pool=GPU_POOL,
              required_resource_keys={"compute", "store", "tracking", "progress"})
    def _predictions(context: dg.AssetExecutionContext, **inputs) -> dg.Output[Artifact]:
        inputs["adapted_model"] = asked(context, node, inputs["adapted_model"])

        def make(draft, settings, log):
            from polars.exceptions import PolarsError

            from rowgraph.figures import checked_chart
            from rowgraph.serving.checking import check
            from rowgraph.serving.predicting import predict

            with context.resources.compute.session() as device:
                summary = predict(inputs["adapted_model"].folder, reading(inputs), node.task,
                                  settings, draft, device=device)
            try:  # a picture beside the list: no list is lost for want of it
                earlier = check(reading(inputs).database, node.task,
                                kept(context.resources.store.open(), node))
                checked_chart(earlier, node.name, draft.notes / "came_true.png")
            except (ValueError, KeyError, OSError, PolarsError) as error:
                context.log.warning(f"earlier predictions could not be checked: {error}")
            return summary

        return build(context, node, inputs, make)

    return _predictions


def asked(context: dg.AssetExecutionContext, node: AssetNode, newest: Artifact) -> Artifact:
    """The training that answers: docs/decisions/champion.md."""
    settings, _ = settings_of(context, node)
    if settings.model == "newest":
        return newest
    store = context.resources.store
    found = served(Path(store.home), store.profile, newest)
    if found is not newest:
        context.log.info(f"The champion is asked, not the newest {'/'.join(newest.key)}, which was "
                         "found to be worse; `predictions: {model: newest}` asks that one.")
    return found


def kept(store: ArtifactStore, node: AssetNode) -> list[Path]:
    """The folders of all predictions of a task, older ones first."""
    return [artifact.folder for artifact in reversed(store.finished(node.key))]
