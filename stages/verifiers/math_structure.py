r"""What an answer is made of: a list, a tuple or interval, a set, a union, a matrix.

Two answers of one shape are equal when their parts are. The parts' equality is three-valued: None where it
takes more than reading to tell, and then the whole is undecided too, unless another part is wrong.
"""

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

Equality = Callable[[str, str], bool | None]
"""(part of the answer, part of the ground truth): equal, different, or undecided."""


@dataclass(frozen=True, slots=True)
class Algebra:
    """What decides where reading does not."""

    equal: Equality
    """Whether an answer is the ground truth, in a form that is worked out."""

    may_equal: Equality
    """Whether work on the way to it may be equal, in whatever form: False only for what surely is not."""


_MAX_PARTS = 24
_TOKEN = re.compile(r"\\[a-zA-Z]+|\\.|[()\[\]{},;&]", re.DOTALL)
_OPENING = frozenset(("(", "[", "{", r"\{", r"\langle", r"\begin"))
_CLOSING = frozenset((")", "]", "}", r"\}", r"\rangle", r"\end"))
_MATRIX = re.compile(r"\\begin\{[pb]?matrix\}(.*)\\end\{[pb]?matrix\}", re.DOTALL)
_CONJUNCTION = re.compile(
    r"\\text\s*\{\s*(?:,?\s*(?:and|or)|,)\s*\}|\b(?:and|or)\b|\\(?:lor|vee)(?![A-Za-z])"
)
_EMPTY_ITEM = re.compile(r",(?:\s*,)+")
_PLUS_MINUS = re.compile(r"\\(?:pm|mp)\b\s*")
_LONE_PLUS = re.compile(r"(\A|[=(,])\s*\+")
_DEFINED = re.compile(r"(\\?[A-Za-z]+(?:_\{?\w+\}?)?)\s*=(?!=)")
_RELATION = re.compile(r"(\\(?:le|ge|ne)(?![A-Za-z])|[<>])")
_SET_OF_NUMBERS = re.compile(
    r"\\\{ *(?:[a-z] *)?(?:\\in *)?(?:\\mathbb *\{?R\}? *)?(?:\\mid|:|\|) *(?P<condition>[^|:{}]*)\\\}"
)
_ALTERNATIVE = re.compile(r"\\text\s*\{\s*,?\s*or\s*\}|\bor\b|\\(?:lor|vee|cup)(?![A-Za-z])")
_VARIABLE = re.compile(r"[A-Za-z](?:\([a-z]\))?|\\[a-z]{2,}")
_TURNED = {"<": ">", ">": "<", r"\le": r"\ge", r"\ge": r"\le", r"\ne": r"\ne"}
_WORD = re.compile(r"(?:\\text\s*\{)?\s*[A-Za-z]{2,}[A-Za-z ]*\}?")


@dataclass(frozen=True, slots=True)
class Structure:
    kind: str
    """list, set, cup, matrix, or the brackets of a tuple or interval, such as `[)`."""

    parts: tuple[str, ...]
    num_rows: int = 1


def read_structure(expression: str) -> Structure | None:
    """None for anything of one part only. `expression` is in its one spelling."""
    if len(_PLUS_MINUS.findall(expression)) == 1:
        signs = (_LONE_PLUS.sub(r"\1", _PLUS_MINUS.sub(sign, expression)) for sign in "+-")
        return Structure("list", tuple(signs))
    items = split_outside(_EMPTY_ITEM.sub(",", _CONJUNCTION.sub(",", expression)), (",", ";"))
    if len(items) > 1:
        return Structure("list", items)
    intervals = split_outside(expression, (r"\cup",))
    if len(intervals) > 1:
        return Structure("cup", intervals)
    if matrix := _MATRIX.fullmatch(expression):
        rows = [split_outside(row, ("&",)) for row in split_outside(matrix[1], (r"\\",)) if row]
        return Structure("matrix", tuple(cell for row in rows for cell in row), len(rows))
    return _read_brackets(expression)


def read_inequality(expression: str) -> Structure | None:
    r"""The interval or union that it says one variable lies in: [3,\infty) for x \ge 3. None for anything else."""
    whole = _SET_OF_NUMBERS.fullmatch(expression)
    clauses = _ALTERNATIVE.split(whole["condition"] if whole else expression)
    intervals: list[str] = []
    names: set[str] = set()
    for clause in clauses[:_MAX_PARTS]:
        sides = [side.strip() for side in _RELATION.split(clause)]
        read = _read_clause(sides) if len(sides) in (3, 5) and all(sides) else None
        if read is None:
            return None
        names.add(read[0])
        intervals += read[1]
    if len(names) > 1 or len(intervals) > _MAX_PARTS:
        return None
    return Structure("cup", tuple(intervals)) if len(intervals) > 1 else _read_brackets(intervals[0])


def _read_clause(sides: list[str]) -> tuple[str, list[str]] | None:
    """The variable, and the intervals it may lie in. `sides` alternate with relations."""
    if len(sides) == 3 and not _VARIABLE.fullmatch(sides[0]):
        sides = [sides[2], _TURNED[sides[1]], sides[0]]
    name = sides[0] if len(sides) == 3 else sides[2]
    if not _VARIABLE.fullmatch(name):
        return None
    if len(sides) == 3:
        _, relation, bound = sides
        below, above = rf"(-\infty,{bound}", rf"{bound},\infty)"
        if relation == r"\ne":
            return name, [f"{below})", f"({above}"]
        if relation in (">", r"\ge"):
            return name, [("(" if relation == ">" else "[") + above]
        return name, [below + (")" if relation == "<" else "]")]
    lower, first, _, second, upper = sides
    if first in (">", r"\ge"):
        lower, first, second, upper = upper, _TURNED[second], _TURNED[first], lower
    if not {first, second} <= {"<", r"\le"}:
        return None
    return name, [f"{'(' if first == '<' else '['}{lower},{upper}{')' if second == '<' else ']'}"]


def is_interval(structure: Structure | None) -> bool:
    """Or a union of them. (1,2) may be a point too."""
    return structure is not None and (
        structure.kind == "cup" or (len(structure.kind) == 2 and len(structure.parts) == 2)
    )


def _read_brackets(expression: str) -> Structure | None:
    if expression.startswith(r"\{") and expression.endswith(r"\}"):
        return Structure("set", split_outside(expression[2:-2], (",",)))
    parts = split_outside(expression[1:-1], (",",)) if _is_enclosed(expression) else ()
    if len(parts) > 1 and expression[0] in "([" and expression[-1] in ")]":
        return Structure(expression[0] + expression[-1], parts)
    return None


def _is_enclosed(expression: str) -> bool:
    """Whether its last bracket closes its first: not in (x,y) = (1,2)."""
    depth = 0
    for token in _TOKEN.finditer(expression):
        depth += (token[0] in _OPENING) - (token[0] in _CLOSING)
        if depth == 0 and token.end() < len(expression):
            return False
    return True


def split_outside(expression: str, separators: tuple[str, ...]) -> tuple[str, ...]:
    """At separators that no bracket encloses; a half-open interval closes what it opens."""
    parts: list[str] = []
    depth = start = 0
    for token in _TOKEN.finditer(expression):
        if token[0] in _OPENING:
            depth += 1
        elif token[0] in _CLOSING:
            depth -= 1
        elif depth == 0 and token[0] in separators:
            parts.append(expression[start : token.start()].strip())
            start = token.end()
    parts.append(expression[start:].strip())
    return tuple(parts)


def same_structure(answer: Structure, expected: Structure, equal: Equality) -> bool | None:
    """None also where the two have different shapes that may still say the same."""
    kinds = {answer.kind, expected.kind}
    if len(kinds) > 1 and kinds not in ({"list", "set"}, {"list", "()"}):
        return False if all(len(kind) == 2 for kind in kinds) else None
    if max(len(answer.parts), len(expected.parts)) > _MAX_PARTS:
        return None
    if len(answer.parts) != len(expected.parts) or answer.num_rows != expected.num_rows:
        return None if kinds & {"set", "cup"} else False
    if expected.kind in ("set", "cup") or (expected.kind == "list" and not _has_an_order(answer, expected)):
        verdict = _same_in_any_order(answer.parts, expected.parts, equal)
        return None if expected.kind == "cup" and verdict is False else verdict
    return all_equal(equal(a, e) for a, e in zip(answer.parts, expected.parts, strict=True))


def all_equal(verdicts: Iterable[bool | None]) -> bool | None:
    """Three-valued: one False decides, whatever is undecided."""
    decided: bool | None = True
    for verdict in verdicts:
        if verdict is False:
            return False
        if verdict is None:
            decided = None
    return decided


def _has_an_order(answer: Structure, expected: Structure) -> bool:
    """Names are listed in the order asked for, and so are the values of several variables where the answer does
    not name them; numbers and letters, such as roots or choices, in any."""
    names = _defined(expected)
    if len(set(names)) > 1 and len(names) == len(expected.parts):
        return len(_defined(answer)) < len(answer.parts)
    return any(_WORD.fullmatch(part) for part in expected.parts)


def _defined(structure: Structure) -> list[str]:
    return [name[1] for name in map(_DEFINED.match, structure.parts) if name]


def _same_in_any_order(answer: tuple[str, ...], expected: tuple[str, ...], equal: Equality) -> bool | None:
    """Each part of the ground truth takes one of the answer's; equality is transitive, so the first will do."""
    left = list(answer)
    undecided = False
    for part in expected:
        verdicts = [equal(candidate, part) for candidate in left]
        if True in verdicts:
            left.pop(verdicts.index(True))
        elif None in verdicts:
            undecided = True
        else:
            return False
    return None if undecided else True
