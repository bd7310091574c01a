"""What exists: one software-defined asset per stage, database and task. See `catalog`."""

import functools

import dagster as dg

from assets.audits import audit_check
from assets.baselines import baseline_metrics, peer_metrics
from assets.catalog import catalog, code_versions
from assets.cells import cell_store
from assets.downstream import downstream_metrics, rowgraph_metrics, transfer_metrics
from assets.evaluation import evaluation, row_map
from assets.features import window_features
from assets.forecasting import forecast_weights, own_past_weights
from assets.graphs import entity_graph
from assets.imputation import imputation_metrics
from assets.language import bart_checkpoint, node_embeddings
from assets.report import report
from assets.rows import linearized_corpus, sampled_rows
from assets.sage import pretraining
from assets.serving import adapted_model, predictions
from assets.sources import source
from rowgraph.profiles import Profile

STAGES = {
    "source": source,
    "sampled_rows": sampled_rows,
    "linearized_corpus": linearized_corpus,
    "bart_checkpoint": bart_checkpoint,
    "node_embeddings": node_embeddings,
    "entity_graph": entity_graph,
    "sage_weights": pretraining,
    "sage_sweep": pretraining,
    "cell_store": cell_store,
    "forecast_weights": forecast_weights,
    "own_past_weights": own_past_weights,
    "window_features": window_features,
    "rowgraph_metrics": rowgraph_metrics,
    "downstream_metrics": downstream_metrics,
    "baseline_metrics": baseline_metrics,
    "peer_metrics": peer_metrics,
    "evaluation": evaluation,
    "transfer_metrics": transfer_metrics,
    "imputation_metrics": imputation_metrics,
    "row_map": row_map,
    "adapted_model": adapted_model,
    "predictions": predictions,
    "report": report,
}


def build_assets(profile: Profile) -> list[dg.AssetsDefinition]:
    """Every asset of a profile, upstream before downstream, with the profile's owners and tags."""
    nodes = catalog(profile)
    versions = code_versions(nodes)
    roles = {d.name: d.role for d in profile.databases}
    stages = {**STAGES, "linearized_corpus": functools.partial(linearized_corpus, roles=roles)}
    made = [stages[node.stage](node, versions[key]) for key, node in nodes.items()]
    if not profile.owners and not profile.tags:
        return made
    return list(dg.map_asset_specs(
        lambda spec: spec.merge_attributes(owners=list(profile.owners), tags=profile.tags), made))


def build_checks(profile: Profile) -> list[dg.AssetChecksDefinition]:
    """The checks of a profile that no asset's own step makes."""
    return [audit_check(node) for node in catalog(profile).values() if node.stage == "evaluation"]
