"""The schema as a picture: every table once, right of what it points to."""

from rowgraph.databases.database import TableSchema
from rowgraph.reports.schemas import MOST, Schema, columns_of, diagram


def schema(**fkeys):
    tables = {name: TableSchema(name, "id", "at" if found else None, found)
              for name, found in fkeys.items()}
    return Schema("shop", tables, dict.fromkeys(tables, 1234))


def test_a_table_stands_right_of_what_it_points_to():
    found = columns_of(schema(items={"order": "orders", "sku": "goods"}, orders={"who": "people"},
                              people={}, goods={}).tables)
    assert found == {"people": 0, "goods": 0, "orders": 1, "items": 2}


def test_circles_and_tables_that_name_themselves_have_an_end():
    found = columns_of(schema(a={"b": "b"}, b={"a": "a"}, staff={"boss": "staff"}).tables)
    assert found == {"a": 1, "b": 0, "staff": 0}


def test_a_name_is_text_whatever_it_looks_like():
    drawn = diagram(schema(**{"a<b>$x$": {}, "c": {"k": "a<b>$x$", "self": "c"}}), "s0")
    assert drawn.startswith("<svg")
    assert "a&lt;b&gt;$x$" in drawn
    assert "1,234 rows · at" in drawn
    assert drawn == diagram(schema(**{"a<b>$x$": {}, "c": {"k": "a<b>$x$", "self": "c"}}), "s0")


def test_what_nobody_could_look_at_is_not_drawn():
    assert diagram(schema(**{f"t{i}": {} for i in range(MOST + 1)}), "s0") == ""
