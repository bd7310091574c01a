"""Reads and writes the YAML of profiles and manifests; what is read is what was written.

YAML allows much that a person does not expect: of two equal keys the last one wins, `yes`, `1:40`
and `010` are a truth, a number of seconds and an octal number in version 1.1 and three other
things in 1.2, a few aliases can stand for a billion values, and a tag can ask for any type. Here
each of these is refused with its line; numbers such as `1e-4` are read as version 1.2 reads them.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

DEPTH = 50  # levels of nesting
VALUES = 100_000  # values in a file, an alias counted as all that it stands for
BYTES = 2 << 20

_KIND = "tag:yaml.org,2002:"
_INT = re.compile(r"[-+]?(0|[1-9][0-9]*)|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?"
                    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_OCTAL = re.compile(r"[-+]?0[0-9]+|0o[0-7]+")


class UnreadableYaml(ValueError):
    """A file that cannot be read as YAML, or not in one way only; says where and what to write."""


def read_yaml(path: Path) -> Any:
    """The content of a YAML file: mappings, lists, texts, numbers, truths, dates and None.

    Raises:
        UnreadableYaml: it is no regular file, no text, no YAML, or has two readings; the message
            names the line, not the file.
    """
    try:
        if not path.is_file():
            raise UnreadableYaml("it is no regular file" if path.exists() else "there is no such "
                                 "file")
        if path.stat().st_size > BYTES:
            raise UnreadableYaml(f"{path.stat().st_size} bytes, more than the {BYTES} that a "
                                 "settings file may have")
        text = path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise UnreadableYaml(f"byte {error.start} is not UTF-8; save it as UTF-8") from None
    except OSError as error:
        raise UnreadableYaml(error.strerror or str(error)) from None
    return parse_yaml(text)


def parse_yaml(text: str) -> Any:
    """As `read_yaml`, from text."""
    try:
        return _Loader(text).get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        raise UnreadableYaml(_at(mark, error.problem or str(error))) from None
    except yaml.YAMLError as error:
        raise UnreadableYaml(" ".join(str(error).split())) from None


class _Loader(yaml.SafeLoader):
    """Looks at every value while it is composed, before anything is constructed from it."""

    def __init__(self, text: str):
        super().__init__(text)
        self.level = self.values = 0
        self.extents: dict[int, tuple[int, int]] = {}  # node -> values and levels below it

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node:
        """One value and all that it holds."""
        event = self.peek_event()
        tag = getattr(event, "tag", None)
        if tag not in (None, "!", f"{_KIND}str"):
            raise UnreadableYaml(_at(event.start_mark, f"the tag {_short(tag)} is not used here; "
                                     "write the value alone"))
        if self.level >= DEPTH:
            raise UnreadableYaml(_at(event.start_mark, f"nested more than {DEPTH} levels deep; "
                                     "is a bracket missing?"))
        self.values += 1
        if self.values > VALUES:
            raise UnreadableYaml(_at(event.start_mark, f"more than {VALUES} values, of which no "
                                     "settings file has as many"))
        self.level += 1
        node = super().compose_node(parent, index)
        self.level -= 1
        if isinstance(event, yaml.AliasEvent):
            if id(node) not in self.extents:
                raise UnreadableYaml(_at(event.start_mark, f"the alias *{event.anchor} stands "
                                         "for what holds it; write the value out"))
            return node
        if isinstance(node, yaml.ScalarNode):
            if tag is None and not event.style:
                self._check_plain(node)
        elif isinstance(node, yaml.MappingNode):
            self._check_keys(node)
        self._measure(node)
        return node

    def _check_plain(self, node: yaml.ScalarNode) -> None:
        """A scalar without quotes must be the same in YAML 1.1 and 1.2."""
        text, kind = node.value, node.tag.removeprefix(_KIND)
        readings = {"bool": text.lower() in ("true", "false"), "int": _INT.fullmatch(text),
                    "float": _FLOAT.fullmatch(text), "str": not _OCTAL.fullmatch(text)}
        if not readings.get(kind, True):
            raise UnreadableYaml(_at(node.start_mark, f"{text!r} is read in one way by YAML 1.1 "
                                     "and in another by 1.2; put it into quotes if it is text, "
                                     "or write true, false or a plain decimal number"))
        if kind == "str" and _FLOAT.fullmatch(text):
            node.tag = f"{_KIND}float"  # 1e-4
        elif kind == "value":
            node.tag = f"{_KIND}str"  # a plain =
        elif kind in ("int", "timestamp"):
            try:
                self.construct_object(node)
            except (ValueError, OverflowError) as error:
                what = "number" if kind == "int" else "date"
                raise UnreadableYaml(_at(node.start_mark, f"{text[:40]!r} looks like a {what} and "
                                         f"is none ({error}); put it into quotes if it is text"
                                         )) from None

    def _check_keys(self, node: yaml.MappingNode) -> None:
        lines: dict[tuple[str, str], int] = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                name, line = (key.tag, key.value), key.start_mark.line + 1
                if name in lines:
                    raise UnreadableYaml(_at(key.start_mark, f"`{key.value}` is written twice, "
                                             f"first on line {lines[name]}; keep one of them"))
                lines[name] = line

    def _measure(self, node: yaml.Node) -> None:
        held = []
        if isinstance(node, yaml.SequenceNode):
            held = node.value
        elif isinstance(node, yaml.MappingNode):
            held = [part for pair in node.value for part in pair]
        extents = [self.extents[id(part)] for part in held]
        values = 1 + sum(n for n, _ in extents)
        levels = 1 + max((n for _, n in extents), default=0)
        if values > VALUES or levels > DEPTH:
            raise UnreadableYaml(_at(node.start_mark, f"its aliases stand for more than {VALUES} "
                                     f"values or {DEPTH} levels; write the values out"))
        self.extents[id(node)] = values, levels


def _at(mark: yaml.Mark | None, problem: str) -> str:
    return f"line {mark.line + 1}: {problem}" if mark else problem


def _short(tag: str) -> str:
    return "!!" + tag.removeprefix(_KIND) if tag.startswith(_KIND) else tag


def write_yaml(path: Path, content: Mapping[str, Any], head: str = "") -> None:
    """Write a file whole or not at all, keys in their order, texts of several lines as they are.

    Args:
        head: comment lines in front.
    """
    part = path.with_name(f"{path.name}.part")
    part.write_text(head + yaml.dump(dict(content), Dumper=_Dumper, sort_keys=False,
                                     allow_unicode=True, width=100), encoding="utf-8")
    part.replace(path)


class _Dumper(yaml.SafeDumper):
    """Texts of several lines are blocks."""


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    strange = any(c in text for c in "\x85\u2028\u2029\r")  # line ends that would be read otherwise
    number = any(kind.fullmatch(text) for kind in (_INT, _FLOAT, _OCTAL))  # as `1e3` is one here
    style = '"' if strange or number else "|" if "\n" in text else None
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style=style)


_Dumper.add_representer(str, _text)
