"""The report shows every measured row, and published figures only beside the same task."""

import json

import polars as pl
import pytest

from rowgraph.artifacts import Draft
from rowgraph.reports.report import write_report
from rowgraph.reports.settings import PublishedFigure, ReportSettings


def published(task):
    return PublishedFigure(database="rel-x", task=task, regime="rolling", variant="theirs",
                           metric="roc_auc", value=0.9, source="a paper")


@pytest.fixture
def folders(tmp_path):
    rows = [{"database": "rel-x", "task": "wins", "regime": regime, "variant": variant,
             "metric": metric, "n_test": 40, "seeds": 3, "mean": mean, "std": 0.01,
             "ci_low": mean and mean - 0.1, "ci_high": mean and mean + 0.1,
             "higher_is_better": True, "source": "measured"}
            for regime in ("frozen_db", "rolling")
            for variant, mean in (("bart_head", 0.6), ("bart_gnn_finetuned", 0.7))
            for metric, mean in (("precision", None), ("roc_auc", mean))]
    metrics = tmp_path / "metrics"
    metrics.mkdir()
    pl.DataFrame(rows, infer_schema_length=None).write_parquet(metrics / "metrics.parquet")
    for stage in ("bart_checkpoint", "sage_weights"):
        (tmp_path / stage).mkdir()
        points = [{"epoch": e, "train_loss": 1 / (e + 1)} for e in range(3)]
        (tmp_path / stage / "curves.json").write_text(json.dumps(points))
    return {"downstream_metrics__rel_x__wins": metrics,
            "bart_checkpoint": tmp_path / "bart_checkpoint",
            "sage_weights": tmp_path / "sage_weights"}


@pytest.fixture
def draft(tmp_path):
    (tmp_path / "draft").mkdir()
    return Draft(tmp_path / "draft")


def test_primary_metrics_come_first_and_variants_in_the_papers_order(folders, draft):
    write_report(folders, ReportSettings(), draft)
    rows = pl.read_parquet(draft.folder / "results.parquet")
    assert rows["metric"].to_list() == ["roc_auc"] * 4 + ["precision"] * 4
    assert rows["variant"].to_list()[:4] == ["bart_gnn_finetuned"] * 2 + ["bart_head"] * 2


def test_a_published_figure_stands_beside_its_task_with_its_source(folders, draft):
    settings = ReportSettings(published=(published("wins"), published("another task")))
    write_report(folders, settings, draft)
    rows = pl.read_parquet(draft.folder / "results.parquet").filter(pl.col("source") != "measured")
    assert rows.select("task", "variant", "mean", "source").rows() == [
        ("wins", "theirs", 0.9, "a paper")]
    assert "a paper" in (draft.folder / "report.md").read_text()


def test_an_undefined_metric_is_called_so(folders, draft):
    write_report(folders, ReportSettings(), draft)
    assert "| bart_head | rolling | undefined |" in (draft.folder / "report.md").read_text()


def test_the_summary_names_the_best_measured_variant_of_each_regime(folders, draft):
    summary = write_report(folders, ReportSettings(published=(published("wins"),)), draft)
    assert summary["best"] == {f"wins {regime}": "bart_gnn_finetuned roc_auc 0.7000"
                               for regime in ("frozen_db", "rolling")}


def test_filled_cells_have_a_line_a_kind_and_method_and_skipped_columns_are_counted(
        folders, draft, tmp_path):
    folder = tmp_path / "imputation"
    folder.mkdir()
    where = {"database": "rel-x", "regime": "frozen_db", "kind": "number"}
    rows = [{**where, "metric": "relative_mae", "method": method, "columns": 7, "better": better,
             "n_test": 70, "unparsable": share, "mean": 0.5, "ci_low": 0.4, "ci_high": 0.6}
            for method, better, share in (("bart", 3, 0.25), ("median", None, None))]
    pl.DataFrame(rows).write_parquet(folder / "kinds.parquet")
    pl.DataFrame([{**where, "column": "points"}]).write_parquet(folder / "metrics.parquet")
    pl.DataFrame([{**where, "reason": "empty"}]).write_parquet(folder / "skipped.parquet")
    write_report({**folders, "imputation_metrics__rel_x": folder}, ReportSettings(), draft)
    text = (draft.folder / "report.md").read_text()
    assert ("| rel-x | frozen_db | number | relative_mae | bart | 0.5000 | 0.4000 to 0.6000 | "
            "3 of 7 | 7 | 70 | 25.0% |") in text
    assert "Columns not scored: 1;" in text
    assert "<td>3 of 7</td>" in (draft.folder / "notes/report.html").read_text()
    assert pl.read_parquet(draft.folder / "imputation.parquet")["column"].to_list() == ["points"]


def test_the_page_holds_its_figures_and_escapes_its_title(folders, draft):
    write_report(folders, ReportSettings(title="<b>mine</b>"), draft)
    page = (draft.folder / "notes/report.html").read_text()
    assert page.count("data:image/png;base64,") == 3
    assert "<b>mine" not in page


def test_pretrainings_their_use_of_the_graph_and_transfer_each_have_a_table(
        folders, draft, tmp_path):
    for name in ("sage_weights", "sage_sweep__mask_50"):
        folder = folders.setdefault(name, tmp_path / name)
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps({
            "objective": "dimensions", "target": "embedding", "projections": "own",
            "mask_probability": 0.5 if "50" in name else 0.15, "hidden": 8}))
        (folder / "test.json").write_text(json.dumps({
            f"test_{k}": 0.25 for k in ("mse", "mse_sum", "cosine", "loss")}))
        pl.DataFrame([{"database": "rel-a", "nodes": 10, "mse": 0.3, "shuffled_mse": 0.4,
                       "column_mean_mse": 0.5, "ridge_mse": 0.1, "explained": 0.4,
                       "ridge_explained": 0.8, "from_neighbours": 0.25}]).write_parquet(
            folder / "graph_use.parquet")
    moved = folders["transfer_metrics__rel_x__wins"] = tmp_path / "transfer"
    moved.mkdir()
    row = {"database": "rel-x", "task": "wins", "pretraining": "none", "variant": "scratch",
           "share": 0.1, "labels": 7, "regime": "rolling", "metric": "roc_auc", "n_test": 40,
           "seeds": 3, "mean": 0.6, "std": 0.01, "gain": None, "gain_std": None, "wins": None,
           "validation_gain": None}
    gained = {**row, "pretraining": "mask_50", "variant": "finetuned", "gain": 0.05,
              "gain_std": 0.02, "wins": 3, "validation_gain": 0.04}
    pl.DataFrame([row, gained], infer_schema_length=None).write_parquet(moved / "transfer.parquet")
    write_report(folders, ReportSettings(), draft)
    text = (draft.folder / "report.md").read_text()
    assert ("| mask_50 | dimensions | embedding | own | 0.50 | 2.500e-01 |" in text)
    assert "| sage_weights | rel-a | 10 | 0.3000 | 0.4000 | 0.5000 | 0.1000 | 40.0% |" in text
    assert ("| rel-x | wins | rolling | 10% (7) | mask_50 | finetuned | 0.6000 ± 0.0100 | "
            "+0.0500 ± 0.0200 | 3 of 3 | +0.0400 |") in text
    page = (draft.folder / "notes" / "report.html").read_text()
    assert page.count("<h2>") == 4 + 2  # two metrics; transfer, Table 2, graph use and no more
    for name in ("pretraining", "graph_use", "transfer"):
        assert pl.read_parquet(draft.folder / f"{name}.parquet").height == 2
    assert (draft.notes / "transfer_rel-x_wins.png").stat().st_size > 1_000
