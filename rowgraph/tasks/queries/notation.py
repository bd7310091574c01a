"""The text of a predictive query, read into what it says."""

from __future__ import annotations

import math
from functools import cache
from typing import Any, cast

from lark import Lark, Token, Transformer, v_args
from lark.exceptions import UnexpectedCharacters, UnexpectedEOF, UnexpectedToken, VisitError

from rowgraph.tasks.queries.query import (
    AGGREGATES,
    UNITS,
    Aggregate,
    Column,
    Compared,
    Condition,
    Joined,
    Negation,
    Query,
    QueryError,
    Rows,
)

LONGEST = 4_000  # characters of a query
FARTHEST = 1_000_000  # of a bound, in any unit
_GRAMMAR = r"""
query: _PREDICT target form? _FOR _EACH column where? assuming? ";"?
?target: either
form: _RANK _TOP NUMBER -> ranked
    | CLASSIFY -> classified
where: _WHERE either
assuming: ASSUMING either

?either: both (_OR both)*
?both: negated (_AND negated)*
?negated: NOT negated -> negation
    | comparison
?comparison: operand
    | operand OPERATOR literal -> compared
    | operand [NOT] _IN "(" literal ("," literal)* ")" -> listed
    | operand [NOT] _LIKE TEXT -> like
    | operand [NOT] _CONTAINS TEXT -> contains
    | operand [NOT] _STARTS _WITH TEXT -> starts
    | operand [NOT] _ENDS _WITH TEXT -> ends
    | operand _IS [NOT] _NULL -> empty
    | "(" either ")" -> inside
?operand: aggregate | column
aggregate: NAME "(" cells where? "," bound "," bound ["," NAME] ")"
cells: name "." "*" -> rows
    | column -> cell
column: name "." name
name: NAME | QUOTED
bound: SIGN? NUMBER -> finite
    | SIGN? _INF -> infinite
literal: SIGN? NUMBER -> number
    | TEXT -> text
    | TRUE -> true
    | FALSE -> false

OPERATOR: ">=" | "<=" | "!=" | "<>" | "==" | "=" | ">" | "<"
SIGN: "+" | "-"
NUMBER: /[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?/
TEXT: /'([^']|'')*'/
QUOTED: /"([^"]|"")+"/
NAME: /[^\W\d]\w*/
_PREDICT.2: /PREDICT\b/i
_FOR.2: /FOR\b/i
_EACH.2: /EACH\b/i
_WHERE.2: /WHERE\b/i
ASSUMING.2: /ASSUMING\b/i
_AND.2: /AND\b/i
_OR.2: /OR\b/i
NOT.2: /NOT\b/i
_IN.2: /IN\b/i
_LIKE.2: /LIKE\b/i
_CONTAINS.2: /CONTAINS\b/i
_STARTS.2: /STARTS\b/i
_ENDS.2: /ENDS\b/i
_WITH.2: /WITH\b/i
_IS.2: /IS\b/i
_NULL.2: /NULL\b/i
_RANK.2: /RANK\b/i
_TOP.2: /TOP\b/i
_INF.2: /INF\b/i
CLASSIFY.2: /CLASSIFY\b/i
TRUE.2: /TRUE\b/i
FALSE.2: /FALSE\b/i
%import common.WS
%ignore WS
"""


def parse(text: str) -> Query:
    """Read a query.

    Raises:
        QueryError: it is none; the message says what was expected where.
    """
    if len(text) > LONGEST:
        raise QueryError(text, LONGEST, LONGEST, f"more than {LONGEST} characters; ask for less")
    try:
        return _Reading(text).transform(_parser().parse(text))
    except UnexpectedToken as error:
        if error.token.type == "$END":
            raise _expected(text, len(text), len(text), error.accepts) from None
        place = error.token.start_pos
        raise _expected(text, place, error.token.end_pos, error.accepts) from None
    except UnexpectedCharacters as error:
        place = cast(int, error.pos_in_stream)  # Lark declares it as None
        raise _expected(text, place, place + 1, error.allowed or ()) from None
    except UnexpectedEOF as error:
        raise _expected(text, len(text), len(text), error.expected) from None
    except (VisitError, RecursionError) as error:
        cause = getattr(error, "orig_exc", error)
        if isinstance(cause, RecursionError):
            cause = QueryError(text, 0, 1, "nested too deeply; ask for less")
        raise cause from None


@cache
def _parser() -> Lark:
    return Lark(_GRAMMAR, start="query", parser="lalr", propagate_positions=True,
                maybe_placeholders=True)


_SAID = {"NAME": "a name", "QUOTED": "a name in double quotes", "NUMBER": "a number",
         "TEXT": "a text in single quotes", "OPERATOR": "a comparison", "SIGN": "a sign",
         "LPAR": "'('", "RPAR": "')'", "COMMA": "','", "DOT": "'.'", "STAR": "'*'",
         "SEMICOLON": "';'", "$END": "the end"}


def _expected(text: str, start: int, end: int, tokens: Any) -> QueryError:
    wanted = sorted({_SAID.get(t, t.lstrip("_")) for t in tokens} - {"';'", "a sign"})
    found = text[start:end].strip() or "the end of the query"
    return QueryError(text, start, end, f"expected {' or '.join(wanted)}, found {found}")


class _Reading(Transformer):
    """From the parser's tree to a `Query`."""

    def __init__(self, text: str):
        super().__init__()
        self.whole = text

    @v_args(meta=True)
    def query(self, meta: Any, parts: list[Any]) -> Query:
        found = {"form": None, "where": None}
        target, rest = parts[0], list(parts[1:])
        for part in rest:
            if isinstance(part, tuple):
                found[part[0]] = part[1]
        entity = next(part for part in rest if isinstance(part, Column))
        form = found["form"]
        return Query(self.whole, target, form if isinstance(form, int) else None,
                     form == "classify", entity, found["where"])

    def ranked(self, parts: list[Any]) -> tuple[str, int]:
        number = _number(parts[0])
        if not isinstance(number, int) or number < 1:
            raise QueryError(self.whole, parts[0].start_pos, parts[0].end_pos,
                             "RANK TOP wants a whole number from 1 on")
        return "form", number

    def classified(self, parts: list[Any]) -> tuple[str, str]:
        return "form", "classify"

    def where(self, parts: list[Any]) -> tuple[str, Condition]:
        return "where", parts[0]

    def assuming(self, parts: list[Any]) -> None:
        word = parts[0]
        raise QueryError(self.whole, word.start_pos, word.end_pos,
                         "ASSUMING is not supported: what would happen if something were done "
                         "cannot be learnt from what happened without it; leave it out, or write "
                         "what was already so as WHERE")

    def either(self, parts: list[Any]) -> Joined:
        return Joined("or", tuple(parts))

    def both(self, parts: list[Any]) -> Joined:
        return Joined("and", tuple(parts))

    def negation(self, parts: list[Any]) -> Negation:
        return Negation(parts[-1])

    def inside(self, parts: list[Any]) -> Condition:
        return parts[0]

    @v_args(meta=True)
    def compared(self, meta: Any, parts: list[Any]) -> Compared:
        operand, operator, value = parts
        spelt = {"==": "=", "<>": "!="}.get(str(operator), str(operator))
        return Compared(operand, spelt, (value,), False, meta.start_pos, meta.end_pos)

    @v_args(meta=True)
    def listed(self, meta: Any, parts: list[Any]) -> Compared:
        operand, negated, *values = parts
        return Compared(operand, "in", tuple(values), negated is not None, meta.start_pos,
                        meta.end_pos)

    @v_args(meta=True)
    def like(self, meta: Any, parts: list[Any]) -> Compared:
        return self._matched("like", meta, parts)

    @v_args(meta=True)
    def contains(self, meta: Any, parts: list[Any]) -> Compared:
        return self._matched("contains", meta, parts)

    @v_args(meta=True)
    def starts(self, meta: Any, parts: list[Any]) -> Compared:
        return self._matched("starts with", meta, parts)

    @v_args(meta=True)
    def ends(self, meta: Any, parts: list[Any]) -> Compared:
        return self._matched("ends with", meta, parts)

    @v_args(meta=True)
    def empty(self, meta: Any, parts: list[Any]) -> Compared:
        operand, negated = parts
        return Compared(operand, "is null", (), negated is not None, meta.start_pos, meta.end_pos)

    def _matched(self, operator: str, meta: Any, parts: list[Any]) -> Compared:
        operand, negated, value = parts
        return Compared(operand, operator, (_unquoted(value),), negated is not None,
                        meta.start_pos, meta.end_pos)

    @v_args(meta=True)
    def aggregate(self, meta: Any, parts: list[Any]) -> Aggregate:
        word, of, *rest = parts
        function = word.upper()
        if function not in AGGREGATES:
            raise QueryError(self.whole, word.start_pos, word.end_pos,
                             f"{word} is no aggregate; there are {', '.join(AGGREGATES)}")
        where = rest.pop(0)[1] if isinstance(rest[0], tuple) and rest[0][0] == "where" else None
        (_, first), (_, last), unit = rest
        spelt = "days" if unit is None else str(unit).lower()
        spelt = spelt if spelt.endswith("s") else f"{spelt}s"
        if spelt not in UNITS:
            raise QueryError(self.whole, unit.start_pos, unit.end_pos,
                             f"{unit} is no unit of time; there are {', '.join(UNITS)}")
        return Aggregate(function, of, where, first, last, spelt, meta.start_pos, meta.end_pos)

    @v_args(meta=True)
    def rows(self, meta: Any, parts: list[Any]) -> Rows:
        return Rows(parts[0], meta.start_pos, meta.end_pos)

    def cell(self, parts: list[Any]) -> Column:
        return parts[0]

    @v_args(meta=True)
    def column(self, meta: Any, parts: list[Any]) -> Column:
        return Column(parts[0], parts[1], meta.start_pos, meta.end_pos)

    def name(self, parts: list[Any]) -> str:
        word = parts[0]
        return word[1:-1].replace('""', '"') if word.type == "QUOTED" else str(word)

    def finite(self, parts: list[Any]) -> tuple[str, float]:
        value = _signed(parts)
        if not abs(value) <= FARTHEST or 0 < abs(value) * FARTHEST < 1:
            token = parts[-1]
            raise QueryError(self.whole, token.start_pos, token.end_pos,
                             f"expected 0, or a number up to {FARTHEST:,} that is not almost 0")
        return "bound", value

    def infinite(self, parts: list[Any]) -> tuple[str, None]:
        return "bound", None

    def number(self, parts: list[Any]) -> float | int:
        value = _signed(parts)
        if math.isinf(value):
            raise QueryError(self.whole, parts[-1].start_pos, parts[-1].end_pos,
                             "beyond what a number holds")
        return value

    def text(self, parts: list[Any]) -> str:
        return _unquoted(parts[0])

    def true(self, parts: list[Any]) -> bool:
        return True

    def false(self, parts: list[Any]) -> bool:
        return False


def _signed(parts: list[Token]) -> float | int:
    value = _number(parts[-1])
    return -value if len(parts) > 1 and parts[0] is not None and parts[0] == "-" else value


def _number(token: Token) -> float | int:
    return int(token) if token.isdigit() and len(token) < 19 else float(token)


def _unquoted(token: Token) -> str:
    return token[1:-1].replace("''", "'")
