"""What was decided, as a picture."""

from rowgraph.importing.diagram import mermaid
from tests.importing.conftest import imported


def test_a_diagram_has_every_table_key_and_time(sqlite, tmp_path):
    lines = mermaid(imported(sqlite, tmp_path / "shop").decisions).splitlines()
    assert lines[0] == "erDiagram"
    assert "    key order_id PK, FK" in lines
    assert "    time placed_at" in lines
    assert '    time of_order_id "its parent\'s"' in lines
    assert '  customers ||--o{ orders : "customer_id"' in lines
    assert len([line for line in lines if "||--o{" in line]) == 3
