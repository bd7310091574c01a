from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from rowgraph.language.masking import Units, apply_masks, draw_masks, find_units, row_keys

TABLE, ATTR, VALUE, EOS, BOS, MASK = 90, 91, 92, 2, 0, 4
CONTENT = st.lists(st.integers(10, 20), max_size=3)
ROWS = st.lists(st.tuples(CONTENT, st.lists(st.tuples(CONTENT, CONTENT), max_size=3)),
                min_size=1, max_size=5)
ODDS = (0.3, 0.2, 0.4)


def flat(rows) -> tuple[np.ndarray, np.ndarray, list]:
    """Tokens end to end, offsets, and (row, kind, contents) of the non-empty units."""
    ids, offsets, units = [], [0], []
    for r, (table, pairs) in enumerate(rows):
        ids += [BOS]
        for kind, marker, content in [(0, TABLE, table)] + [
                x for a, v in pairs for x in ((1, ATTR, a), (2, VALUE, v))]:
            ids += [marker, *content]
            if content:
                units.append((r, kind, content))
        ids += [EOS]
        offsets.append(len(ids))
    return np.array(ids), np.array(offsets), units


def units_of(rows) -> tuple[np.ndarray, np.ndarray, Units]:
    ids, offsets, _ = flat(rows)
    return ids, offsets, find_units(ids, offsets, (TABLE, ATTR, VALUE), EOS)


@given(ROWS)
def test_units_are_the_non_empty_contents_between_markers(rows):
    ids, _, expected = flat(rows)
    _, _, units = units_of(rows)
    found = [(int(r), int(k), ids[s:e].tolist()) for r, k, s, e in zip(
        units.row, units.kind, units.start, units.end, strict=True)]
    assert found == expected


@given(ROWS, st.integers(0, 5))
def test_every_row_loses_at_least_one_unit_and_never_an_empty_one(rows, seed):
    _, _, units = units_of(rows)
    masked = draw_masks(units, row_keys("d", "t", np.arange(len(rows))), ODDS, seed)
    assert set(units.row[masked]) == set(units.row)


@given(ROWS, st.data())
def test_a_masked_unit_becomes_one_mask_token_and_nothing_else_changes(rows, data):
    ids, offsets, units = units_of(rows)
    masked = np.array(data.draw(st.lists(st.booleans(), min_size=len(units.row),
                                         max_size=len(units.row))), dtype=bool)
    hidden, hidden_offsets = apply_masks(ids, offsets, units, masked, MASK)
    for r in range(len(rows)):
        expected, u = [], 0
        row_units = [(s, e, m) for s, e, m, k in zip(
            units.start, units.end, masked, units.row, strict=True) if k == r]
        at = offsets[r]
        while at < offsets[r + 1]:
            if u < len(row_units) and row_units[u][0] == at:
                start, end, gone = row_units[u]
                expected += [MASK] if gone else ids[start:end].tolist()
                at, u = end, u + 1
            else:
                expected.append(ids[at])
                at += 1
        assert hidden[hidden_offsets[r]:hidden_offsets[r + 1]].tolist() == expected


def test_units_are_masked_with_the_papers_probabilities():
    rows = [([10], [([11], [12])] * 12)] * 4_000  # so wide that hardly any row needs the remedy
    _, _, units = units_of(rows)
    masked = draw_masks(units, row_keys("d", "t", np.arange(4_000)), ODDS, 0)
    for kind, probability in enumerate(ODDS):
        drawn = masked[units.kind == kind]
        assert abs(drawn.mean() - probability) < 4.5 * np.sqrt(0.25 / len(drawn))


def test_a_kind_with_probability_zero_is_never_masked():
    rows = [([10], [([11], [12])])] * 200
    _, _, units = units_of(rows)
    masked = draw_masks(units, row_keys("d", "t", np.arange(200)), (0.0, 0.0, 0.01), 0)
    assert masked[units.kind == 2].all()
    assert not masked[units.kind != 2].any()


@settings(max_examples=25)
@given(ROWS, st.data())
def test_a_rows_masks_do_not_depend_on_the_rows_beside_it(rows, data):
    keys = row_keys("d", "t", np.arange(100, 100 + len(rows)))
    order = data.draw(st.permutations(range(len(rows))))
    _, _, together = units_of(rows)
    _, _, shuffled = units_of([rows[o] for o in order])
    first = draw_masks(together, keys, ODDS, 7, "train", 3)
    second = draw_masks(shuffled, keys[order], ODDS, 7, "train", 3)
    for place, o in enumerate(order):
        assert first[together.row == o].tolist() == second[shuffled.row == place].tolist()


def test_epochs_seeds_tables_and_databases_are_masked_independently():
    rows = [([10], [([11], [12])] * 5)] * 300
    _, _, units = units_of(rows)
    draws = [draw_masks(units, row_keys(*name, np.arange(300)), ODDS, *purpose)
             for name, purpose in [(("d", "t"), (0, "train", 0)), (("d", "t"), (0, "train", 1)),
                                   (("d", "t"), (1, "train", 0)), (("d", "u"), (0, "train", 0)),
                                   (("e", "t"), (0, "train", 0)), (("d", "t"), (0, "test"))]]
    for i, one in enumerate(draws):
        for other in draws[:i]:
            assert abs(np.corrcoef(one, other)[0, 1]) < 0.15
