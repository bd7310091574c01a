"""The tables behind the results say what their stages wrote, and nothing where there is nothing."""

import polars as pl
import pytest

from rowgraph.reports import detail_tables, groups, pretraining_tables, results_tables
from rowgraph.reports.answers import answers
from rowgraph.reports.evidence import Evidence
from rowgraph.reports.settings import PublishedFigure, ReportSettings
from rowgraph.reports.tables import Band, text_of

THEIRS = PublishedFigure(database="rel-f1", task="driver-dnf", regime="rolling", variant="theirs",
                         metric="f1", value=0.9, source="a paper")


@pytest.fixture(scope="module")
def evidence(folders):
    return Evidence.read(folders, ReportSettings(published=(THEIRS,)))


def texts(table):
    return [row.text if isinstance(row, Band) else [text_of(c) for c in row] for row in table.rows]


def test_every_group_has_its_band_and_every_variant_its_line_in_it(evidence):
    question = next(a for a in answers(evidence) if a.regime == "rolling")
    lines = texts(results_tables.question_table(evidence, question))
    assert [line for line in lines if isinstance(line, str)] == list(groups.GROUPS.values())
    assert len([line for line in lines if not isinstance(line, str)]) == 3 + 6 + 5 + 2 + 1


def test_a_line_says_the_figure_its_test_and_what_validation_saw(evidence):
    question = answers(evidence)[0]
    table = results_tables.question_table(evidence, question)
    line = next(row for row in texts(table) if row[0] == "blend")
    assert table.head[4] == "against data_scientist"
    assert line[1:6] == [".735 ± .011", "[.700, .770]", "", "+.007 [−.015, +.029] no finding",
                         ".755"]
    baseline = next(row for row in texts(table) if row[0] == "data_scientist")
    assert baseline[4] == ""  # baselines are not tested against each other


def test_a_published_figure_of_another_metric_stands_in_that_metrics_column(evidence):
    question = next(a for a in answers(evidence) if a.regime == "rolling")
    table = results_tables.question_table(evidence, question)
    line = next(row for row in texts(table) if row[0] == "theirs")
    by_name = dict(zip(table.head, line, strict=True))
    assert by_name["F1 ↑"] == ".900"
    assert by_name["source"] == "a paper"
    assert (by_name["ROC-AUC ↑"], by_name["on validation"], by_name["seeds"]) == ("–", "", "")


def test_the_figures_of_a_column_have_equally_many_decimals(folders, tmp_path):
    folder = tmp_path / "evaluation__rel_f1__driver_position"
    folder.mkdir()
    for path in folders[folder.name].glob("*.parquet"):
        frame = pl.read_parquet(path)
        if path.name == "metrics.parquet":
            frame = frame.with_columns(mean=pl.when((pl.col("variant") == "rdl") & (
                pl.col("metric") == "mae")).then(123.456).otherwise("mean"))
        frame.write_parquet(folder / path.name)
    evidence = Evidence.read({**folders, folder.name: folder}, ReportSettings())
    question = next(a for a in answers(evidence) if a.metric == "mae")
    lines = [r for r in texts(results_tables.question_table(evidence, question))
             if not isinstance(r, str) and r[1] not in ("–", "weights not available")]
    assert {len(line[1].split(" ")[0].partition(".")[2]) for line in lines} == {1}


def test_the_paper_stands_beside_ours_in_its_own_question_alone(evidence):
    ours = results_tables.ablation_table(evidence, "rel-f1", "driver-dnf", "frozen_db")
    assert len(ours.head) == 1 + 2 * 4
    assert len(ours.rows) == 6
    other = results_tables.ablation_table(evidence, "rel-f1", "driver-dnf", "rolling")
    assert len(other.head) == 1 + 4
    assert "the other regime" in other.legend


def test_a_regime_of_table_3_holds_its_own_figures_alone(evidence):
    lines = texts(results_tables.comparison_table(evidence))
    frozen, rolling = lines.index("frozen_db"), lines.index("rolling")
    names = [line[0] for line in lines[frozen + 1:rolling]]
    assert "RDL" in names
    assert "rdl" in names
    assert not any("Kumo" in name for name in names)
    assert [line[0] for line in lines[rolling + 1:rolling + 3]] == [
        "KumoRFM (in-context)", "KumoRFM (fine-tuned)"]


def test_what_was_chosen_stands_beside_the_next_best_candidate(evidence):
    lines = texts(detail_tables.choice_table(evidence.choices))
    assert lines[0] == "rel-f1 · driver-dnf · frozen_db · ROC-AUC, mean over folds"
    assert ["blend", "rate 1e-3", "3", ".622", "3", "12", "rate 1e-2", ".612"] in lines


def test_calibration_is_told_raw_and_scaled_with_its_method(evidence):
    lines = texts(detail_tables.calibration_table(evidence.calibration_error))
    assert lines[1] == ["blend", ".060", ".620", ".015", ".530", "temperature", ".020"]


def test_spread_is_told_of_numbers_and_left_out_where_a_task_has_none(evidence, folders):
    lines = texts(detail_tables.spread_table(evidence.predictions))
    assert len([line for line in lines if isinstance(line, str)]) == 4  # no recommendations
    path = folders["evaluation__rel_f1__driver_dnf"] / "test_predictions_rolling.parquet"
    mine = pl.read_parquet(path).filter(variant="rdl")
    line = next(row for row in lines[lines.index(next(
        x for x in lines if isinstance(x, str) and "dnf · rolling" in x)):] if row[0] == "rdl")
    assert float(line[1]) == pytest.approx(mine["prediction"].mean(), abs=6e-4)
    assert float(line[3]) == pytest.approx(mine["spread"].median(), abs=6e-4)


def test_the_spread_of_recommended_lists_is_a_share(tmp_path):
    path = tmp_path / "test_predictions_rolling.parquet"
    pl.DataFrame({"variant": ["a"] * 3, "target": [[1], [2], [3]], "prediction": [[1], [2], [3]],
                  "spread": [0.1, 0.2, 0.3]}).write_parquet(path)
    lines = texts(detail_tables.spread_table({("db", "task", "rolling"): path}))
    assert lines == ["db · task · rolling", ["a", "–", "–", ".200", ".280"]]


def test_cells_transfer_and_the_use_of_the_graph_have_a_line_each(evidence):
    assert texts(pretraining_tables.filled_table(evidence.filled))[0] == [
        "rel-f1", "frozen_db", "number", "relative_mae", "bart", ".500", "[.400, .600]", "3 of 7",
        "7", "70", "25.0%"]
    assert "Columns not scored: 1;" in pretraining_tables.filled_table(evidence.filled).legend
    assert ["rel-f1", "driver-dnf", "rolling", "10% (700)", "mask_50", "finetuned", ".600 ± .010",
            "+.050 ± .020", "3 of 3", "+.040"] in texts(
        pretraining_tables.transfer_table(evidence.transfer))
    assert ["sage_weights", "rel-a", "1,000", "0.3000", "0.4000", "0.5000", "0.1000", "40.0%",
            "80.0%", "25.0%"] in texts(pretraining_tables.graph_use_table(evidence.graph_use))


def test_databases_are_called_by_their_names_where_any_row_knows_them(evidence):
    assert evidence.graphs["database"].to_list() == ["rel-a", "rel-f1", "total"]
    assert set(evidence.purity) == set(evidence.row_maps) == {"rel-f1"}


def test_costs_add_up_by_stage_and_what_is_not_known_is_a_dash():
    facts = [{"stage": "a", "asset": "a/x", "seconds": 30.0, "peak_mib": 100.0},
             {"stage": "a", "asset": "a/y", "seconds": 45.0, "peak_mib": 2048.0},
             {"stage": "b", "asset": "b", "seconds": None}]
    assert texts(detail_tables.cost_table(facts)) == [
        ["a", "2", "1 min 15 s", "2.0 GiB"], ["b", "1", "–", "–"],
        ["in all", "3", "1 min 15 s", "2.0 GiB"]]
    assert detail_tables.cost_table([]).is_empty


def test_settings_that_artifacts_share_are_told_once():
    same = {"epochs": 3, "nested": {"rate": 0.1}, "published": [{"a": 1}, {"a": 2}]}
    facts = [{"stage": "a", "asset": "a/x", "settings": same},
             {"stage": "a", "asset": "a/y", "settings": same},
             {"stage": "b", "asset": "b/x", "settings": {"k": None}},
             {"stage": "b", "asset": "b/y", "settings": {"k": "word"}}]
    assert texts(detail_tables.settings_table(facts)) == [
        "a", ["epochs", "3"], ["nested.rate", "0.1"], ["published", "2 entries"],
        "b/x", ["k", "null"], "b/y", ["k", "word"]]


@pytest.mark.parametrize(("change", "words"), [
    ({"metric": "rocauc"}, "metric 'rocauc' does not exist"),
    ({"value": 68.86}, "write 68.86 % as 0.6886"), ({"value": float("nan")}, "finite number"),
    ({"regime": "frozen"}, "frozen_db")])
def test_a_published_figure_that_cannot_be_compared_is_refused_with_the_next_move(change, words):
    with pytest.raises(ValueError, match=words):
        PublishedFigure.model_validate({**THEIRS.model_dump(), **change})


def test_an_error_may_be_as_large_as_its_unit_asks():
    row = {**THEIRS.model_dump(), "metric": "mae", "value": 4.02}
    assert PublishedFigure.model_validate(row).value == 4.02


def test_features_are_shares_of_all_and_other_columns_are_refused_by_name():
    frame = pl.DataFrame({"database": ["d"] * 3, "task": ["t"] * 3, "model": ["m"] * 3,
                          "feature": ["a", "b", "a"], "gain": [1.0, 6.0, 3.0]})
    assert texts(detail_tables.importance_table(frame)) == [
        "d · t · m", ["b", "75.0%"], ["a", "25.0%"]]
    with pytest.raises(ValueError, match="needs the columns feature and importance"):
        detail_tables.importance_table(frame.drop("gain"))


def test_lineage_has_a_column_for_what_is_known_alone():
    facts = [{"asset": "a", "stage": "a", "recipe": "0123", "inputs": {"source__db": "x"}}]
    table = detail_tables.lineage_table(facts)
    assert table.head == ("artifact", "made from", "recipe", "time", "peak memory")
    assert texts(table) == [["a", "source/db", "0123", "–", "–"]]
