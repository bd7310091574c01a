"""Tables and figures say what they were given, whatever it is, in every form of the report."""

import re
import xml.etree.ElementTree as ElementTree
from html import unescape

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.reports import charts, markdown, page
from rowgraph.reports.answers import Answer
from rowgraph.reports.svg import VARIABLES, drawing, figure, to_svg
from rowgraph.reports.tables import Band, Cell, Dots, ReportTable

TEXT = st.one_of(st.text(max_size=6), st.sampled_from(
    ["<b>", "a|b", "&lt;", '" onload="x', "]]>", "$a$", "\\|", "_x_", "a\nb", "\x00\x95",
     'a" id="b', "fill: #010101", "<!-- ", "</svg>"]))
NAME = TEXT.filter(lambda t: any(c.isalnum() for c in t))


def words(markup: str) -> str:
    """What a reader sees, letters and digits alone."""
    return "".join(c for c in unescape(re.sub(r"<[^>]*>", "", markup)) if c.isalnum())


def letters(text: str) -> str:
    return "".join(c for c in text if c.isalnum())


@given(st.lists(st.tuples(TEXT, TEXT, TEXT), min_size=1, max_size=4), TEXT, TEXT)
@settings(max_examples=80, deadline=None)
def test_a_table_says_its_cells_and_nothing_else_in_html_and_in_markdown(rows, title, band):
    table = ReportTable(title, "", ("a", "b", "c"), [Band(band), *[
        [Cell(x, strong=True, tip=z), y, z] for x, y, z in rows]])
    said = letters(band + "".join("".join(row) for row in rows))
    drawn = page.table(table, title=None)
    assert words(drawn) == f"abc{said}"
    assert set(re.findall(r"<(\w+)", drawn)) <= {
        "div", "table", "thead", "tbody", "tr", "th", "td", "span", "strong", "abbr", "wbr"}
    lines = markdown.table(table)
    cells = [re.split(r"(?<!\\)\|", line.replace("\\\\", "")) for line in lines[2:-1]]
    assert {len(c) for c in cells} == {5}
    assert letters("".join("".join(c) for c in cells[2:])) == said


def test_numbers_stand_to_the_right_and_words_to_the_left():
    rows = [["x", ".713 ± .011", "[.1, .2]", "why not", "3 of 7", "12.5 s"],
            ["y", "–", "", "", "1 of 7", "2 min 10 s"]]
    drawn = page.table(ReportTable("t", "", tuple("abcdef"), rows), title=None)
    heads = re.findall(r"<th scope=\"col\"[^>]*>", drawn)
    sides = ["n" if 'class="n"' in head else "" for head in heads]
    assert sides == ["", "n", "n", "", "n", "n"]


def test_a_drawn_interval_lies_where_its_numbers_do():
    cell = Cell("", dots=Dots(0.5, 0.25, 0.75, (0.0, 1.0)))
    drawn = page.table(ReportTable("t", "", ("a", "drawn"), [["x", cell]]), title=None)
    assert 'd="M27.5 7H82.5"' in drawn
    assert 'cx="55.0"' in drawn
    assert "drawn" not in "".join(markdown.table(ReportTable("t", "", ("a", "drawn"),
                                                             [["x", cell]])))


def test_a_long_table_is_cut_and_says_how_much_is_left():
    rows = [["x", str(i)] for i in range(page.ROW_LIMIT + 7)]
    assert "7 more rows" in page.table(ReportTable("t", "", ("a", "b"), rows))


@pytest.mark.parametrize("rows", [[], [Band("only a band")]])
def test_a_table_without_rows_is_left_out(rows):
    table = ReportTable("t", "a legend", ("a", "b"), rows)
    assert page.table(table) == ""
    assert markdown.table(table) == []


def row(variant, mean, low=None, high=None):
    return {"variant": variant, "metric": "roc_auc", "mean": mean, "std": None, "ci_low": low,
            "ci_high": high}


@given(NAME, NAME, NAME)
@settings(max_examples=8, deadline=None)
def test_a_chart_is_one_svg_with_the_names_in_it_and_no_formula(task, model, theirs):
    answer = Answer("db", task, "rolling", "roc_auc", True, row(model, 0.7, 0.6, 0.8),
                    row("base", 0.6, 0.5, 0.7), row(theirs, 0.9), None, None, None, True)
    (drawn,) = charts.answer_panels([answer])
    tree = ElementTree.fromstring(drawn.replace("xlink:href", "href"))
    said = letters("".join(t for t in tree.itertext()))
    for name in (task, model, theirs):
        assert letters(charts.shown(name, 21)) in said


def test_figures_take_the_pages_colours_and_leave_no_trace_of_the_day():
    def drawn():
        with drawing():
            made = figure(2)
            made.add_axes((0.1, 0.1, 0.8, 0.8)).plot([0, 1], [0, 1], color="#040404")
            return to_svg(made, "k1", "a line")

    text = drawn()
    assert text == drawn()
    assert "var(--model)" in text
    assert not any(colour in text for colour in VARIABLES)
    assert not re.search(r"\d{4}-\d\d-\d\dT|<metadata|<style|font-family|<\?xml", text)
    identifiers = re.findall(r' id="([^"]+)"', text)
    assert all(i.startswith("k1-") for i in identifiers)
    assert set(re.findall(r'(?:url\(#|href="#)([^")]+)', text)) <= set(identifiers)
    assert 'aria-label="a line"' in text


def test_regimes_and_units_never_share_a_panel():
    def answer(task, regime, metric):
        one = {**row("m", 0.7, 0.6, 0.8), "metric": metric}
        return Answer("db", task, regime, metric, metric != "mae", one, one, None, None, None, None,
                      True)

    drawn = charts.answer_panels([
        answer(t, r, m) for t, m in (("a", "roc_auc"), ("b", "roc_auc"), ("c", "mae"), ("d", "mae"))
        for r in ("frozen_db", "rolling")])
    assert len(drawn) == 2 + 4  # two tasks share ROC-AUC, errors have units of their own
    assert all(("frozen_db" in p) != ("rolling" in p) for p in drawn)


def test_a_map_draws_every_row_of_every_table_in_a_colour_of_its_own():
    rows = pl.DataFrame({"table": ["a"] * 3 + ["b"] * 2, "before_x": [0.0, 1, 2, 3, 4],
                         "before_y": [0.0, 1, 2, 3, 4], "after_x": [1.0] * 5, "after_y": [2.0] * 5})
    before, after = charts.map_panels(rows, "m", ["a", "b"])
    for drawn in (before, after):
        for name, count in (("a", 3), ("b", 2)):
            colour = charts.colour_of(name, ["a", "b"])
            path = next(p for p in re.findall(r"<path[^>]*>", drawn) if colour in p)
            assert path.count("M ") == count
    assert charts.colour_of("z", [*map(str, range(40)), "z"]) == charts.REST


def test_a_metric_without_a_value_in_an_epoch_leaves_a_gap_and_no_error():
    curves = pl.DataFrame({
        "metric": ["loss"] * 3 + ["roc_auc"], "split": ["train", "train", "val", "val"],
        "regime": [None, None, "rolling", "rolling"], "epoch": [0, 1, 0, 0], "seed": [0] * 4,
        "value": [1.0, 0.5, None, None]})
    assert len(charts.curve_panels(curves, "c", regimes=["rolling"])) == 2
