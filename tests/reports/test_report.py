"""The report shows every measured row, keeps regimes apart, and is one page without a network."""

import re
from html.parser import HTMLParser

import polars as pl
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from rowgraph.artifacts import Draft
from rowgraph.reports.evidence import Evidence
from rowgraph.reports.report import write_report
from rowgraph.reports.settings import PublishedFigure, ReportSettings

VOID = {"meta", "wbr", "br"}


def published(task, regime="rolling", **changes):
    return PublishedFigure(**{"database": "rel-f1", "task": task, "regime": regime,
                              "variant": "theirs", "metric": "roc_auc", "value": 0.9,
                              "source": "a paper", "kind": "supervised", **changes})


SETTINGS = ReportSettings(title="RowGraph on races", published=(
    published("driver-dnf"), published("driver-dnf", "frozen_db", value=0.6),
    published("another task")))


class Reader(HTMLParser):
    """What a page is made of: tags in balance, text, identifiers, addresses that it asks for."""

    def __init__(self, text):
        super().__init__()
        self.open, self.tags, self.ids, self.links, self.asked = [], set(), [], [], []
        self.texts, self.handlers = [], []
        self.feed(text)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag, attrs):
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.tags.add(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value)
            if name in ("href", "xlink:href"):
                self.links.append(value)
            if name in ("src", "srcset", "data", "action", "poster", "background"):
                self.asked.append(value)
            if name.startswith("on"):
                self.handlers.append(name)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.texts.append(data)


@pytest.fixture(scope="module")
def made(tmp_path_factory, folders, facts):
    folder = tmp_path_factory.mktemp("report")
    summary = write_report(folders, SETTINGS, Draft(folder), facts=facts)
    return folder, summary, (folder / "notes/report.html").read_text(), (
        folder / "report.md").read_text()


@pytest.fixture(scope="module")
def bare(folders):
    """The evaluation of one task and nothing else."""
    name = "evaluation__rel_f1__driver_position"
    return {name: folders[name]}


def test_every_measured_row_is_in_the_results_with_its_group_and_primary_metrics_first(made,
                                                                                       folders):
    rows = pl.read_parquet(made[0] / "results.parquet")
    measured = pl.concat([pl.read_parquet(f / "metrics.parquet") for n, f in folders.items()
                          if n.startswith("evaluation__")])
    assert rows.filter(pl.col("group") != "published").height == measured.height
    assert rows.select("task", "metric").unique(maintain_order=True).rows()[:6] == [
        ("driver-dnf", m) for m in ("roc_auc", "average_precision", "precision", "accuracy", "f1")
    ] + [("driver-position", "mae")]
    groups = dict(rows.select("variant", "group").unique().rows())
    assert (groups["blend"], groups["bart_head"], groups["data_scientist"], groups["rdl"],
            groups["kumo"], groups["theirs"]) == ("ours", "ablation", "baseline", "peer", "peer",
                                                  "published")


def test_variants_of_the_paper_stand_in_the_papers_order(made):
    rows = pl.read_parquet(made[0] / "results.parquet").filter(
        task="driver-dnf", metric="roc_auc", regime="rolling", group="ablation")
    assert rows["variant"].to_list() == [
        "bart_gnn_frozen", "bart_gnn_finetuned", "bart_head", "random_head", "random_gnn_frozen",
        "random_gnn_finetuned"]


def test_a_published_figure_stands_beside_its_task_with_its_source_or_is_counted(made):
    folder, summary, page, text = made
    rows = pl.read_parquet(folder / "results.parquet").filter(group="published")
    assert rows.select("task", "regime", "mean", "source", "kind").rows() == [
        ("driver-dnf", "frozen_db", 0.6, "a paper", "supervised"),
        ("driver-dnf", "rolling", 0.9, "a paper", "supervised")]
    assert summary["published_elsewhere"] == 1
    assert "supervised · a paper" in page
    assert "supervised · a paper" in text


def test_no_table_of_results_holds_two_regimes_but_for_bands_that_name_them(made):
    text = made[3]
    for part in text.split("\n## ")[1:]:
        title = part.partition("\n")[0]
        if title.startswith("rel-f1 · "):
            other = {"frozen_db": "rolling", "rolling": "frozen_db"}[title.rpartition(" ")[2]]
            assert other not in part.partition("\n")[2]


def test_it_opens_with_the_answers_and_what_is_long_comes_later_and_folded(made):
    page = made[2]
    order = [page.index(f'id="{anchor}"') for anchor in (
        "answers", "results", "paper-tables", "paper-figures", "calibration", "choices", "cost",
        "everything")]
    assert order == sorted(order)
    assert page.index("no finding") < page.index("<svg") < page.index('id="results"')
    for title in ("Choices", "Settings", "Lineage", "Training of the language model"):
        assert f"<summary>{title}</summary>" in page


def test_the_summary_says_what_each_question_found(made):
    said = made[1]["answers"]
    assert len(said) == 6
    assert said["rel-f1/driver-dnf frozen_db"].startswith("no finding: ")
    assert said["rel-f1/driver-dnf rolling"].startswith("ahead: blend is ahead of")


def test_the_papers_tables_and_figures_stand_beside_ours(made):
    _, _, page, text = made
    assert "| rel-amazon | 4,589,766 | 7,000,000 |" in text  # Table 1
    assert "| mask_50 | 0.50 | 1.190e-04 | 1.250e-01 |" in text  # Table 2
    assert "| Hybrid (fine-tuned) | .674 | .710 ± .011 [.675, .745] | foundational |" in text
    assert "| KumoRFM (fine-tuned) | .826 |" in text
    assert ("| BART + GNN (with fine-tuning) + Head | .832 | .568 ± .011 | .705 | .568 ± .011 | "
            ".827 | .568 ± .011 | .674 | .710 ± .011 |") in text  # Table 4
    for number in (2, 4, 5):
        assert f"Figure {number}: " in page
    assert "after the GNN (Figure 7)" in page
    rolling = text.index("Table 4: ablation on driver-dnf (rel-f1), rolling")
    assert ".674" not in text[rolling:text.index("##", rolling)]


def test_an_undefined_metric_and_a_model_that_could_not_run_say_so(made):
    assert re.search(r"\| global_constant \| \.500 \|.*\| undefined \|", made[3])
    assert "| kumo | weights not available |" in made[3]


def test_the_page_is_whole_asks_no_network_and_names_its_figures(made):
    page = made[2]
    read = Reader(page)
    assert not read.asked
    assert not read.handlers
    assert read.tags.isdisjoint({"script", "link", "iframe", "object", "embed", "img", "base"})
    assert all(link.startswith("#") for link in read.links)
    assert {link[1:] for link in read.links} <= set(read.ids)
    assert len(set(read.ids)) == len(read.ids)
    assert not re.search(r"(?:@import|url\((?!#)|https?://(?!www\.w3\.org/))", page)
    assert page.count('role="img"') == page.count("<svg ") - page.count('class="dots"')
    assert len(page.encode()) < 5_000_000


def test_costs_settings_and_lineage_are_told_on_the_page_alone(made, facts):
    _, _, page, text = made
    for known in (facts[3]["recipe"], "nested.rate", "peak memory"):
        assert known in page
        assert known not in text


def test_equal_evidence_gives_equal_bytes(made, folders, facts, draft):
    write_report(folders, SETTINGS, draft, facts=facts)
    for path in made[0].rglob("*.*"):
        again = draft.folder / path.relative_to(made[0])
        assert again.read_bytes() == path.read_bytes(), path.name


def test_what_it_cost_changes_the_page_and_no_content(bare, facts, tmp_path):
    pages = set()
    for factor in (1, 2):
        folder = tmp_path / str(factor)
        folder.mkdir()
        write_report(bare, SETTINGS, Draft(folder), facts=[
            {**f, "seconds": factor * f["seconds"]} for f in facts])
        pages.add((folder / "notes/report.html").read_bytes())
        for path in folder.glob("*.*"):
            assert path.read_bytes() == (tmp_path / "1" / path.name).read_bytes()
    assert len(pages) == 2


def test_whatever_a_profile_lacks_is_left_out_with_its_heading(bare, draft):
    write_report(bare, ReportSettings(), draft)
    page = (draft.folder / "notes/report.html").read_text()
    Reader(page)
    for gone in ("Figure 2", "Figures 6", "Table 1", "Table 2", "Filling in", "Cost of"):
        assert gone not in page
    assert pl.read_parquet(draft.folder / "transfer.parquet").is_empty()


def test_nothing_evaluated_is_refused_with_the_next_move(folders, draft):
    with pytest.raises(ValueError, match="no evaluation was handed in"):
        write_report({"sage_weights": folders["sage_weights"]}, ReportSettings(), draft)


def test_every_choice_and_reliability_curve_reaches_the_parquet_files(made, folders):
    evidence = Evidence.read(folders, ReportSettings())
    choices = pl.read_parquet(made[0] / "choices.parquet")
    assert choices.height == sum(
        pl.read_parquet(f / "choices.parquet").height for n, f in folders.items()
        if n.partition("__")[0] in ("downstream_metrics", "baseline_metrics", "peer_metrics"))
    assert set(choices.columns) >= {"database", "task", "stage", "model", "fold", "chosen"}
    for name in evidence.files():
        assert (made[0] / f"{name}.parquet").exists()


NAMES = st.one_of(
    st.sampled_from(["<script>alert(1)</script>", "a|b", "[/x]", "$x^2$", "_hidden", "&amp;", "'\"",
                     "a\nb", "\x00", "^a.*$", "]]>", "<!--", "x" * 300, "ä日本", "{0}", "#010101",
                     'a" id="b', "`x`", "**b**"]),
    st.text(min_size=1, max_size=8))


@given(st.data())
@settings(max_examples=3, deadline=None, suppress_health_check=list(HealthCheck),
          phases=[Phase.explicit, Phase.reuse, Phase.generate])  # a report takes a second
def test_no_name_breaks_out_of_the_page_or_of_a_table(build, tmp_path_factory, data):
    root = tmp_path_factory.mktemp("hostile")
    database, task, variant, title = (data.draw(NAMES) for _ in range(4))
    made = build(root, database=database, tasks={task: "binary_classification"}, everything=False)
    for folder in made.values():  # blend is what validation picked, so it is everywhere
        for path in folder.glob("*.parquet"):
            frame = pl.read_parquet(path)
            for column in {"variant", "model"} & set(frame.columns):
                frame = frame.with_columns(pl.col(column).replace({"blend": variant}))
            frame.write_parquet(path)
    theirs = published(task, database=database, variant=data.draw(NAMES),
                       source=data.draw(NAMES), kind=data.draw(NAMES))
    write_report(made, ReportSettings(title=title, published=(theirs,)), Draft(root), facts=[
        {"stage": title, "asset": variant, "settings": {title: variant}, "inputs": {task: "x"}}])
    page = (root / "notes/report.html").read_text()
    read = Reader(page)
    assert read.tags.isdisjoint({"script", "img", "iframe", "link"})
    assert not read.handlers
    assert set(read.links) <= {f"#{i}" for i in read.ids}
    shown = "".join(c for c in "".join(read.texts) if c.isalnum())
    for name in (database, task, variant, title):
        assert "".join(c for c in name if c.isalnum()) in shown
    for table in re.split(r"\n\n", (root / "report.md").read_text()):
        lines = [re.sub(r"\\.", "", line) for line in table.split("\n") if line.startswith("|")]
        assert len({line.count("|") for line in lines}) <= 1


def test_the_page_says_who_is_champion_and_the_content_does_not(bare, tmp_path):
    compared = {"question": "db/wins", "regime": "rolling", "variant": "rowgraph",
                "metric": "roc_auc", "rows": 40, "old": 0.713, "new": 0.642, "difference": -0.071,
                "ci_low": -0.11, "ci_high": -0.03, "level": 0.95, "verdict": "behind", "why": None}
    decided = {"date": "2026-01-04", "version": "7", "against": "6", "unchanged": False}
    retraining = {
        "sage_weights": {**decided, "decision": "stays", "reason": "worse beyond its interval",
                         "rows": [compared, {**compared, "regime": "frozen_db"}]},
        "bart_checkpoint": {**decided, "against": None, "decision": "crowned",
                            "reason": "nothing to compare with: the first", "rows": []}}
    contents = {}
    for name, decisions in (("with", retraining), ("without", None)):
        (tmp_path / name).mkdir()
        write_report(bare, SETTINGS, Draft(tmp_path / name), retraining=decisions)
        contents[name] = (tmp_path / name / "report.md").read_text()
    assert contents["with"] == contents["without"]
    text = " ".join(Reader((tmp_path / "with/notes/report.html").read_text()).texts)
    assert "−.071 [−.110, −.030]" in text
    assert text.count("worse beyond its interval") == 1
    assert "nothing to compare with: the first" in text
    assert 'id="retraining"' not in (tmp_path / "without/notes/report.html").read_text()
    frame = pl.read_parquet(tmp_path / "with/notes/retraining.parquet")
    assert frame.select("model", "regime").rows() == [
        ("sage_weights", "rolling"), ("sage_weights", "frozen_db"), ("bart_checkpoint", None)]
