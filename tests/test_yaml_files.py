"""YAML as a person means it: one reading, one value for a key, and no hanging."""

import math
import os

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from rowgraph.yaml_files import UnreadableYaml, parse_yaml, read_yaml, write_yaml

LAUGHS = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
    f"{c}: &{c} [{','.join(['*' + p] * 9)}]\n" for p, c in zip("abcdefgh", "bcdefghi", strict=True))
CHAIN = "k0: &k0 [x]\n" + "".join(f"k{i}: &k{i} [*k{i - 1}]\n" for i in range(1, 3000))


@pytest.mark.parametrize(("text", "message"), [
    ("a: 1\nb: 2\na: 3", "line 3: `a` is written twice, first on line 1"),
    ("x: {b: 1, b: 1}", "line 1: `b` is written twice"),
    ("tables:\n  a: {}\n  a: {}", "line 3: `a` is written twice, first on line 2"),
    ("a: yes", "line 1: 'yes' is read in one way by YAML 1.1 and in another by 1.2"),
    ("no: a", "'no' is read in one way"),
    ("a: 1:40", "'1:40' is read in one way"),
    ("a: 12:30:00.5", "'12:30:00.5' is read in one way"),
    ("a: 010", "'010' is read in one way"),
    ("a: 08", "'08' is read in one way"),
    ("a: 0o17", "'0o17' is read in one way"),
    ("a: 1_000", "'1_000' is read in one way"),
    ("a: 0b11", "'0b11' is read in one way"),
    ("a: 2020-13-45", "looks like a date and is none"),
    ("a: !!bool x", "the tag !!bool is not used here"),
    ("a: !!int ''", "the tag !!int is not used here"),
    ("a: !!python/object:os.system x", "the tag !!python/object:os.system is not used"),
    ("a: &a [*a]", r"the alias \*a stands for what holds it"),
    ("a: *b", "undefined alias 'b'"),
    (LAUGHS, "line 6: its aliases stand for more than 100000 values"),
    (CHAIN, "or 50 levels"),
    ("[" * 3000, "line 1: nested more than 50 levels deep; is a bracket missing?"),
    ("a:\n" + "".join(" " * i + "- \n" for i in range(1, 60)), "nested more than 50"),
    ("{[1]: 2}", "line 1: found unhashable key"),
    ("a: [", "line 1: expected the node content"),
    ("a: 1\n---\nb: 2", "another document"),
    ("a: \x00", "special characters are not allowed"),
    ("a: " + "9" * 5000, "looks like a number and is none"),
])
def test_what_is_no_yaml_or_has_two_readings_is_refused_with_its_line(text, message):
    with pytest.raises(UnreadableYaml, match=message):
        parse_yaml(text)


def test_what_has_one_reading_is_read():
    assert parse_yaml("a: 1e-4\nb: 1.5e3\nc: 'yes'\nd: !!str 010\ne: '010'\nf: true\ng: ~\n"
                      "h: 00:30\ni: =\nj: -7\nk: 0x1F") == {
        "a": 1e-4, "b": 1500.0, "c": "yes", "d": "010", "e": "010", "f": True, "g": None,
        "h": "00:30", "i": "=", "j": -7, "k": 31}
    assert parse_yaml("a: &x {b: 1}\nc: {<<: *x, d: 2}\ne: [*x, *x]") == {
        "a": {"b": 1}, "c": {"b": 1, "d": 2}, "e": [{"b": 1}, {"b": 1}]}
    assert parse_yaml("") is None
    assert str(parse_yaml("2020-01-31")) == "2020-01-31"
    assert math.isinf(parse_yaml("-.inf"))


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=9)
    | st.dates(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner,
                                                                max_size=4), max_leaves=12)


@given(VALUES)
def test_whatever_pyyaml_writes_is_read_as_pyyaml_reads_it(value):
    text = yaml.safe_dump(value, allow_unicode=True)
    assert str(_numbers(parse_yaml(text))) == str(_numbers(yaml.safe_load(text)))


@given(st.text(alphabet="ab0179.:_-+xeo{}[]&*!'\"#|> \n", max_size=30))
def test_any_text_is_read_as_pyyaml_reads_it_or_refused(text):
    try:
        read = parse_yaml(text)
    except UnreadableYaml:
        return
    assert str(_numbers(yaml.safe_load(text))) == str(_numbers(read))


def _numbers(value):
    """Texts such as 1e3, which YAML 1.1 takes for text, as the numbers that they are."""
    if isinstance(value, dict):
        return {_numbers(k): _numbers(v) for k, v in value.items()}
    if isinstance(value, list):
        return [_numbers(v) for v in value]
    try:
        return float(value) if isinstance(value, str) and value.strip() == value else value
    except ValueError:
        return value


def test_only_a_regular_file_of_text_is_opened(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "bytes").write_bytes(b"a: \xff")
    (tmp_path / "large").write_text("a: " + "x" * (5 << 20))
    for name, message in (("none", "there is no such file"), ("pipe", "no regular file"),
                          (".", "no regular file"), ("bytes", "byte 3 is not UTF-8"),
                          ("large", "more than the 2097152"), ("x" * 300, "too long")):
        with pytest.raises(UnreadableYaml, match=message):
            read_yaml(tmp_path / name)


@given(st.dictionaries(st.text(max_size=12), st.text(max_size=40) | st.integers() | st.booleans()
                       | st.none() | st.lists(st.sampled_from(
                           ["yes", "010", "1:40", "1e3", "~", "a\nb", " x\n", "2020-01-01"]))))
def test_what_is_written_is_read(tmp_path_factory, content):
    path = tmp_path_factory.mktemp("yaml") / "file.yaml"
    write_yaml(path, content, "# A head.\n")
    assert read_yaml(path) == content
    assert path.read_text(encoding="utf-8").startswith("# A head.\n")
    assert [p.name for p in path.parent.iterdir()] == ["file.yaml"]
