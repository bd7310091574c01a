"""Which assets exist, and that held-out data cannot reach pre-training by structure."""

import dagster as dg
import pytest

from assets import build_assets
from assets.catalog import catalog, code_versions
from pipeline.assembly import build_definitions
from pipeline.environment import Environment
from rowgraph.profiles import SettingsError, load_profile
from rowgraph.serving.settings import AdaptedModelSettings

TRAINED = [("linearized_corpus",), ("bart_checkpoint",), ("sage_weights",),
           ("forecast_weights",)]


def ancestors(nodes, key):
    found, stack = set(), [key]
    while stack:
        for up in nodes[stack.pop()].inputs.values():
            if up not in found:
                found.add(up)
                stack.append(up)
    return found


@pytest.mark.parametrize("name", ["demo", "f1", "paper", "transfer"])
@pytest.mark.parametrize("trained", TRAINED, ids=lambda key: key[0])
def test_no_held_out_database_reaches_what_is_pre_trained(name, trained):
    profile = load_profile(name)
    heldout = {d.name.replace("-", "_") for d in profile.by_role("heldout")}
    reached = ancestors(catalog(profile), trained)
    assert reached
    assert not {key for key in reached if key[-1] in heldout}


@pytest.mark.parametrize("name", ["f1", "paper", "transfer"])
def test_the_sweep_is_made_of_what_sage_weights_is_made_of(name):
    profile = load_profile(name)
    nodes = catalog(profile)
    base = nodes["sage_weights",].inputs
    for run in profile.sage_sweep:
        inputs = nodes["sage_sweep", run].inputs
        assert set(base.items()) <= set(inputs.items())
        extra = {key[0] for key in inputs.values()} - {key[0] for key in base.values()}
        assert extra == ({"source", "bart_checkpoint"} if "cells" in run else set())
        heldout = {d.name.replace("-", "_") for d in profile.by_role("heldout")}
        assert not {key for key in ancestors(nodes, ("sage_sweep", run)) if key[-1] in heldout}
        assert nodes["report",].inputs[f"sage_sweep__{run}"] == ("sage_sweep", run)


def test_transfer_compares_the_named_pretrainings_alone():
    profile = load_profile("transfer")
    inputs = catalog(profile)["transfer_metrics", "rel_f1", "driver_dnf"].inputs
    found = {name.removeprefix("sage_sweep__") for name in inputs if name.startswith("sage_")}
    assert found == set(profile.transfer_metrics.pretrainings)
    assert not any(key[0] == "transfer_metrics" for key in catalog(load_profile("f1")))


def test_without_the_papers_models_nothing_that_only_they_need_is_made():
    nodes = catalog(load_profile("suite"))
    stages = {key[0] for key in nodes}
    assert stages == {"source", "entity_graph", "cell_store", "forecast_weights",
                      "own_past_weights", "window_features", "baseline_metrics",
                      "rowgraph_metrics", "evaluation", "report"}
    assert set(nodes["report",].inputs.values()) < set(nodes)


def test_the_demo_has_the_designs_assets_groups_and_upstreams():
    profile = load_profile("demo")
    found = {"/".join(k): sorted("/".join(u) for u in n.inputs.values())
             for k, n in catalog(profile).items()}
    assert len(found) == 40
    assert found["bart_checkpoint"] == ["linearized_corpus"]
    assert found["entity_graph/rel_baseball"] == ["source/rel_baseball"]
    assert found["node_embeddings/rel_baseball"] == ["bart_checkpoint", "source/rel_baseball"]
    task = "rel_baseball/player_home_runs"
    assert found[f"downstream_metrics/{task}"] == [
        "bart_checkpoint", "entity_graph/rel_baseball", "node_embeddings/rel_baseball",
        "sage_weights", "source/rel_baseball"]
    assert found[f"window_features/{task}"] == ["source/rel_baseball"]
    assert found[f"baseline_metrics/{task}"] == ["source/rel_baseball", f"window_features/{task}"]
    assert found["own_past_weights/rel_baseball"] == [
        "cell_store/rel_baseball", "entity_graph/rel_baseball", "source/rel_baseball"]
    assert found[f"rowgraph_metrics/{task}"] == [
        "cell_store/rel_baseball", "entity_graph/rel_baseball", "forecast_weights",
        "own_past_weights/rel_baseball", "source/rel_baseball", f"window_features/{task}"]
    assert found[f"evaluation/{task}"] == [
        f"baseline_metrics/{task}", f"downstream_metrics/{task}", f"rowgraph_metrics/{task}",
        "source/rel_baseball"]
    assert found["row_map/rel_baseball"] == [
        "entity_graph/rel_baseball", "node_embeddings/rel_baseball", "sage_weights"]
    assert found["imputation_metrics/rel_flights"] == [
        "bart_checkpoint", "linearized_corpus", "source/rel_flights"]
    assert found["imputation_metrics/rel_baseball"] == ["bart_checkpoint", "source/rel_baseball"]


def test_own_past_that_goes_on_from_other_databases_hangs_on_them_and_they_on_no_held_out_one():
    profile = load_profile("demo")
    own = profile.own_past_weights.model_copy(update={"start": "forecast_weights"})
    nodes = catalog(profile.model_copy(update={"own_past_weights": own}))
    reached = ancestors(nodes, ("own_past_weights", "rel_baseball"))
    assert ("forecast_weights",) in reached
    assert ("forecast_weights",) not in ancestors(catalog(profile),
                                                  ("own_past_weights", "rel_baseball"))
    assert not {key for key in ancestors(nodes, ("forecast_weights",))
                if key[-1] == "rel_baseball"}


def test_several_language_models_each_have_their_vectors_and_their_sage():
    profile = load_profile("demo")
    bart = profile.bart_checkpoint.model_copy(update={"seeds": (0, 7)})
    nodes = catalog(profile.model_copy(update={"bart_checkpoint": bart}))
    assert set(catalog(profile)) < set(nodes)
    assert nodes["node_embeddings", "rel_baseball", "seed_7"].inputs["bart_checkpoint"] == (
        "bart_checkpoint", "seed_7")
    assert all(key[-1] == "seed_7" for name, key in nodes["sage_weights", "seed_7"].inputs.items()
               if name.startswith("node_embeddings"))
    of_task = nodes["downstream_metrics", "rel_baseball", "player_all_star"].inputs
    assert of_task["sage_weights__seed_7"] == ("sage_weights", "seed_7")
    assert nodes["bart_checkpoint", "seed_7"].section.effective()["seed"] == 7
    alone, among = (code_versions(catalog(profile.model_copy(update={"bart_checkpoint": b})))
                    for b in (profile.bart_checkpoint, bart))
    assert alone["bart_checkpoint",] == among["bart_checkpoint",]


def test_a_peer_is_an_asset_where_the_profile_names_one():
    assert ("peer_metrics", "rel_f1", "driver_dnf") in catalog(load_profile("f1"))
    assert not any(key[0] == "peer_metrics" for key in catalog(load_profile("demo")))


def test_settings_of_one_task_move_that_task_alone():
    profile = load_profile("f1")
    changes = {"rel-f1/driver-top3": {"downstream_metrics": {"epochs": 77}}}
    other = profile.model_copy(update={"task_settings": {**profile.task_settings, **changes}})
    before, after = code_versions(catalog(profile)), code_versions(catalog(other))
    assert {"/".join(k) for k in before if before[k] != after[k]} == {
        "downstream_metrics/rel_f1/driver_top3", "evaluation/rel_f1/driver_top3", "report"}


@pytest.mark.parametrize("name", ["demo", "f1", "paper"])
def test_filled_cells_reach_nothing_but_the_report(name):
    nodes = catalog(load_profile(name))
    users = {key for key, node in nodes.items()
             if any(up[0] == "imputation_metrics" for up in node.inputs.values())}
    assert users == {("report",)}


def test_dagster_sees_the_catalog_as_it_is():
    profile = load_profile("f1")
    nodes, versions = catalog(profile), code_versions(catalog(profile))
    for definition in build_assets(profile):
        key = tuple(definition.key.path)
        assert {tuple(k.path) for k in definition.dependency_keys} == set(
            nodes[key].inputs.values())
        assert definition.group_names_by_key[definition.key] == key[0]
        assert definition.code_versions_by_key[definition.key] == versions[key]


def test_the_definitions_load_with_their_jobs_schedule_and_sensor(tmp_path):
    defs = build_definitions(Environment(load_profile("demo"), tmp_path))
    dg.Definitions.validate_loadable(defs)
    repository = defs.get_repository_def()
    assert {"everything", "refresh", "evaluate", "retrain"} <= set(repository.job_names)
    scored = repository.get_job("evaluate").asset_layer.selected_asset_keys
    assert {key.path[0] for key in scored} == {"evaluation", "imputation_metrics", "report"}
    assert repository.get_schedule_def("retrain_weekly").default_status.value == "STOPPED"
    assert repository.get_sensor_def("refresh_out_of_date").default_status.value == "STOPPED"


def test_models_that_are_kept_are_asked_daily_once_that_is_switched_on(tmp_path):
    profile = load_profile("demo")
    assert not [key for key in catalog(profile) if key[0] in ("adapted_model", "predictions")]
    kept = profile.model_copy(update={"adapted_model": AdaptedModelSettings(fit=True)})
    repository = build_definitions(Environment(kept, tmp_path)).get_repository_def()
    assert repository.get_schedule_def("score_daily").default_status.value == "STOPPED"
    made = {key.path[0] for key in repository.get_job("score").asset_layer.selected_asset_keys}
    assert made == {"source", "entity_graph", "cell_store", "predictions"}


def test_assets_that_train_or_encode_share_the_pool_of_one():
    pools = {a.key.path[0]: a.op.pool for a in build_assets(load_profile("demo"))}
    assert {stage for stage, pool in pools.items() if pool == "gpu"} == {
        "bart_checkpoint", "node_embeddings", "sage_weights", "downstream_metrics",
        "imputation_metrics", "row_map", "forecast_weights", "own_past_weights",
        "rowgraph_metrics"}


def changed(name, section, **update):
    profile = load_profile(name)
    new = getattr(profile, section).model_copy(update=update)
    before = code_versions(catalog(profile))
    after = code_versions(catalog(profile.model_copy(update={section: new})))
    return {key[0] for key in before if before[key] != after[key]}


# The table "what re-runs" of docs/operating.md, row by row.
METRICS = {"downstream_metrics", "evaluation", "report"}
OURS = {"rowgraph_metrics", "evaluation", "report"}
TRAINED_SAGE = {"sage_weights", "row_map", *METRICS}
NEW_BART = {"bart_checkpoint", "imputation_metrics", "node_embeddings", *TRAINED_SAGE}


@pytest.mark.parametrize(("section", "update", "stages"), [
    ("sampled_rows", {"rows": 99}, {"sampled_rows", "linearized_corpus", *NEW_BART}),
    ("linearized_corpus", {"keys": True}, {"linearized_corpus", *NEW_BART}),
    ("bart_checkpoint", {"epochs": 99}, NEW_BART),
    ("bart_checkpoint", {"device_batch": 3}, set()),
    ("node_embeddings", {"dtype": "float32"}, {"node_embeddings", *TRAINED_SAGE}),
    ("sage_weights", {"learning_rate": 0.5}, TRAINED_SAGE),
    ("window_features", {"folds": 9}, {"window_features", "baseline_metrics", *OURS}),
    ("cell_store", {"knots": 9}, {"cell_store", "forecast_weights", "own_past_weights", *OURS}),
    ("forecast_weights", {"steps": 9}, {"forecast_weights", *OURS}),
    ("own_past_weights", {"steps": 9}, {"own_past_weights", *OURS}),
    ("own_past_weights", {"workers": 9}, set()),
    ("rowgraph_metrics", {"trees": 9}, OURS),
    ("downstream_metrics", {"epochs": 99}, METRICS),
    ("baseline_metrics", {"trees": 99}, {"baseline_metrics", "evaluation", "report"}),
    ("evaluation", {"bootstrap": 99}, {"evaluation", "report"}),
    ("imputation_metrics", {"trees": 99}, {"imputation_metrics", "report"}),
    ("imputation_metrics", {"batch": 3}, set()),
    ("row_map", {"rows": 99}, {"row_map", "report"}),
    ("report", {"title": "mine"}, {"report"}),
    ("compute", {"device": "cuda:0"}, set()),
    ("compute", {"engine": "ray"}, set()),
    ("ray", {"address": "ray://head:10001", "workers": 8, "fewest": 1}, set()),
])
def test_a_changed_section_marks_exactly_what_hangs_on_it(section, update, stages):
    assert changed("demo", section, **update) == stages


def test_a_changed_database_leaves_the_graphs_of_the_others_alone():
    profile = load_profile("demo")
    first, *rest = profile.databases
    other = profile.model_copy(update={
        "databases": (first.model_copy(update={"entities": 7}), *rest)})
    before, after = code_versions(catalog(profile)), code_versions(catalog(other))
    marked = {"/".join(k) for k in before if before[k] != after[k]}
    assert "source/rel_flights" in marked
    assert "entity_graph/rel_grocery" not in marked
    assert "source/rel_grocery" not in marked
    assert "bart_checkpoint" in marked


def test_of_the_sweep_only_what_changed_is_made_again():
    profile = load_profile("transfer")
    before = code_versions(catalog(profile))
    sweep = {**profile.sage_sweep, "rows_shared": {**profile.sage_sweep["rows_shared"], "gamma": 3}}
    after = code_versions(catalog(profile.model_copy(update={"sage_sweep": sweep})))
    moved = {"/".join(key[:2]) for key in before if before[key] != after[key]}
    assert moved == {"sage_sweep/rows_shared", "transfer_metrics/rel_f1",
                     "transfer_metrics/rel_stack_small", "report"}


def test_all_of_the_sweep_hangs_on_sage_weights_and_transfer_on_its_own_section():
    stages = {*TRAINED_SAGE, "sage_sweep", "transfer_metrics"}
    assert changed("transfer", "sage_weights", learning_rate=0.5) == stages
    assert changed("transfer", "transfer_metrics", epochs=99) == {"transfer_metrics", "report"}


OWN = """
extends: suite
databases: [{name: shop, role: heldout, tasks: [churn]}]
rowgraph_metrics: {beside: []}
report: {published: []}
"""


def test_a_database_of_ones_own_needs_no_other(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN)
    nodes = catalog(load_profile(str(path)))
    assert ("forecast_weights",) not in nodes
    assert "forecast_weights" not in nodes["rowgraph_metrics", "shop", "churn"].inputs
    assert {key[0] for key in nodes} == {
        "source", "entity_graph", "cell_store", "own_past_weights", "window_features",
        "baseline_metrics", "rowgraph_metrics", "evaluation", "report"}


def test_what_learns_from_other_databases_wants_one(tmp_path):
    path = tmp_path / "own.yaml"
    path.write_text(OWN.replace("{beside: []}", "{beside: [zero_shot]}"))
    assert ("forecast_weights",) in catalog(load_profile(str(path)))  # of synthetic ones
    path.write_text(OWN.replace("{beside: []}", "{beside: [zero_shot]}")
                    + "forecast_weights: {synthetic: 0}\n")
    with pytest.raises(SettingsError, match=r"none has `role: pretrain`.*beside: \[\]"):
        load_profile(str(path))
