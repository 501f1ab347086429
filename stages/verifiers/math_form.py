r"""The form of an expression: which operations it leaves open, and so whether it is worked out at all.

A value alone cannot tell an answer from its question: \gcd(12, 18) is 6. So an answer may hold no operation that
the ground truth does without, except those of closed forms: fractions, roots, and sums of unlike terms such as
3 + 2\sqrt{5}. One pass over the tokens, with a stack for what is open.
"""

import re
from dataclasses import dataclass, field
from functools import lru_cache
from math import isqrt

_TOKEN = re.compile(
    r"""
    (?P<unit>\\text\s*\{[^{}]*\}|\^\s*\{?\\circ\}?|\\%|%|_\s*(?:\{[^{}]*\}|\w)|\\(?:left|right)(?![A-Za-z]))
    | (?P<number>\d+\s*(?=\\frac\{\d+\}\{\d+\})\\frac\{\d+\}\{\d+\}
        | 10\s*\^\s*(?:\{[-+]?\d+\}|\d)
        | (?:\d+(?:\.\d*)?|\.\d+)(?:\\overline\{\d+\})?(?:\s*(?:\\times|\\cdot)\s*10\s*\^\s*(?:\{[-+]?\d+\}|\d))?)
    | \\(?P<fraction>frac)(?![A-Za-z])
    | \\(?P<root>sqrt)(?![A-Za-z])(?:\[\w\])?
    | (?P<times>\\(?:times|cdot)(?![A-Za-z])|\*)
    | (?P<over>/|\\over(?![A-Za-z]))
    | (?P<function>\\(?:sin|cos|tan|cot|sec|csc|arcsin|arccos|arctan|log|ln|lg|exp|gcd|max|min|det|int|sum|prod|lim
        |binom|tbinom|dbinom|[bp]?mod|lfloor|lceil|operatorname|deg|arg|vert|dim)(?![A-Za-z])
        |\\?\||(?<![A-Za-z\\])(?:sin|cos|tan|log|ln|exp|gcd|lcm|mod|max|min|floor|ceil)(?![A-Za-z]))
    | (?P<factorial>!)
    | (?P<power>\^)
    | (?P<plus>[-+]|\\pm(?![A-Za-z])|\\mp(?![A-Za-z]))
    | (?P<open>\\\{|[({\[])
    | (?P<close>\\\}|[)}\]])
    | (?P<end>[,;&=<>]|\\\\|\\(?:cup|cap|setminus|in|le|ge|lt|gt|ne)(?![A-Za-z]))
    | (?P<letter>(?:\\[A-Za-z]+|[A-Za-z])(?:\s*\^\s*(?:\{[^{}]*\}|\w))?)
    """,
    re.VERBOSE,
)
_FAMILY = {
    **dict.fromkeys(
        ("sin", "cos", "tan", "cot", "sec", "csc", "arcsin", "arccos", "arctan"), "a trigonometric function"
    ),
    **dict.fromkeys(("log", "ln", "lg", "exp"), "a logarithm"),
    **dict.fromkeys(("binom", "tbinom", "dbinom"), "a binomial coefficient"),
}
_HALF_POWER = re.compile(r"(\d+|\([^()]*\))\s*\^\s*\{?\(?(?:1/2|\\frac\{1\}\{2\})\)?\}?")
_FRACTIONAL = re.compile(r"\s*(?:\{\s*-?\s*(?:\\frac|\d+/)|\(\s*-?\d+/)")
_ROOT = re.compile(r"\\sqrt(?:\[\w\])?\s*\{([^{}]*(?:\{[^{}]*\}[^{}]*)*)\}")
_MAX_DIGITS = 6
_NUMBERS_IN_LETTERS = frozenset(("i", "e", r"\pi", r"\infty"))
_OF_NO_MATTER_IN_NUMBERS = frozenset(
    ("terms", "a product with a sum", "a denominator with letters", "letters")
)
r"""(1 + \sqrt{5})/2, 1/2 + \sqrt{5}/2 and 1/2 (1 + \sqrt{5}) are equally worked out."""


@dataclass(slots=True)
class _Term:
    factors: int = 0
    numbers: int = 0
    sums: int = 0
    atoms: list[str] = field(default_factory=list[str])
    has_fraction: bool = False
    is_over_number: bool = True


@dataclass(slots=True)
class _Group:
    """What one pair of brackets holds, term by term."""

    role: str
    start: int
    term: _Term = field(default_factory=_Term)
    keys: list[tuple[str, ...]] = field(default_factory=list[tuple[str, ...]])
    has_fraction: bool = False

    def end_term(self, found: set[str]) -> None:
        """Terms with the same roots and letters could be added up."""
        term = self.term
        if term.factors:
            key = tuple(sorted(term.atoms))
            bases = [atom.partition("^")[0] for atom in term.atoms if not atom.startswith("sqrt")]
            found.update(["a product"] if len(set(bases)) < len(bases) and not term.sums else [])
            found.update(["a sum"] if key in self.keys else [])
            found.update(["a product"] if term.numbers > 1 else [])
            found.update(["a product with a sum"] if term.sums and term.factors > 1 else [])
            found.update(["a product of sums"] if term.sums > 1 else [])
            self.keys.append(key)
        self.has_fraction |= term.has_fraction
        self.term = _Term()


def is_number(expression: str) -> bool:
    """Without variables, in its one spelling."""
    return "letters" not in open_operations(expression)


def unfinished(answer: str, expected: str) -> frozenset[str]:
    """What an answer leaves open and the ground truth does not."""
    extra = open_operations(answer) - open_operations(expected)
    return extra - _OF_NO_MATTER_IN_NUMBERS if is_number(expected) else extra - {"letters"}


def has_root_of(prompt: str, answer: str, expected: str) -> bool:
    r"""\sqrt{50}, when the prompt asks for just that and the ground truth is 5\sqrt{2}. All in one spelling."""
    given, wanted = _roots(prompt), _roots(expected)
    return any(root in given and root not in wanted and not _is_simplest(root) for root in _roots(answer))


@lru_cache(maxsize=4096)
def _roots(expression: str) -> frozenset[str]:
    spelled = _HALF_POWER.sub(r"\\sqrt{\1}", expression)
    return frozenset(match[0].replace(" ", "") for match in _ROOT.finditer(spelled))


def _is_simplest(root: str) -> bool:
    """The square root of a small number that no square divides."""
    radicand = root[6:-1]
    if not radicand.isdecimal() or len(radicand) > _MAX_DIGITS:
        return False
    return all(int(radicand) % square for square in (n * n for n in range(2, isqrt(int(radicand)) + 1)))


@lru_cache(maxsize=4096)
def open_operations(expression: str) -> frozenset[str]:
    """Named as a reason would name them. `expression` is in its one spelling."""
    found: set[str] = set()
    groups = [_Group("whole", 0)]
    role = ""
    for match in _TOKEN.finditer(_HALF_POWER.sub(r"\\sqrt{\1}", expression)):
        kind = match.lastgroup or ""
        if kind == "open":
            groups.append(_Group(role or "bracket", match.end()))
            role = ""
        elif kind == "close":
            role = _close(groups, match, found) if len(groups) > 1 else ""
        elif kind in ("fraction", "root"):
            role = kind
            found.update(["a root"] if kind == "root" else [])
        elif kind == "power":
            role = _raise(groups[-1].term, match, found)
        elif kind != "unit":
            if role != "power":
                _take(kind, match, groups[-1], found)
            role = ""
    for group in groups:
        group.end_term(found)
    found.update(["terms"] if len(groups[0].keys) > 1 else [])
    return frozenset(found)


def _raise(term: _Term, match: re.Match[str], found: set[str]) -> str:
    """The role of the exponent. A power of letters is as worked out as they are."""
    if _FRACTIONAL.match(match.string, match.end()):
        found.add("a root")
    elif term.sums:
        found.add("a product of sums")
    elif term.factors and not term.atoms:
        found.add("a power")
    return "power"


def _take(kind: str, match: re.Match[str], group: _Group, found: set[str]) -> None:
    term = group.term
    if kind in ("number", "letter"):
        term.factors += 1
        term.numbers += kind == "number"
        if kind == "letter":
            term.atoms.append(match[0].replace(" ", ""))
            found.update([] if match[0].partition("^")[0].strip() in _NUMBERS_IN_LETTERS else ["letters"])
    elif kind == "over":
        found.update(["a fraction of fractions"] if term.has_fraction else [])
        found.update(["a product"] if term.numbers > 1 else [])
        term.has_fraction, term.numbers = True, 0
    elif kind in ("plus", "end"):
        group.end_term(found)
        if kind == "end":
            group.keys.clear()
    elif kind == "factorial":
        found.add("a factorial")
    elif kind == "function":
        name = match[0].lstrip("\\")
        found.add(_FAMILY.get(name, name))
        term.factors, term.numbers = term.factors + 1, 0
        term.atoms.append(name)


def _close(groups: list[_Group], match: re.Match[str], found: set[str]) -> str:
    """Its parent gets it as a factor. The role of what follows: a denominator after a numerator."""
    group = groups.pop()
    group.end_term(found)
    term = groups[-1].term
    atoms = [atom for key in group.keys for atom in key]
    if group.role == "power":
        return ""
    if group.role in ("fraction", "denominator"):
        return _close_fraction(group, atoms, term, found)
    term.factors += 1
    if group.role == "root":
        found.update(["a product of roots"] if any("sqrt" in atom for atom in term.atoms) else [])
        term.atoms.append(f"sqrt {match.string[group.start : match.start()].replace(' ', '')}")
        return ""
    term.atoms.extend(atoms)
    term.sums += len(group.keys) > 1
    term.numbers += not atoms
    term.has_fraction |= group.has_fraction
    return ""


def _close_fraction(group: _Group, atoms: list[str], term: _Term, found: set[str]) -> str:
    found.update(["a fraction of fractions"] if group.has_fraction else [])
    if group.role == "fraction":
        term.factors += 1
        term.atoms.extend(atoms)
        term.is_over_number = not atoms
        return "denominator"
    found.update(["a denominator with letters"] if any(atom[0] not in "s/\\" for atom in atoms) else [])
    term.numbers += term.is_over_number and not atoms
    term.atoms.extend(f"/{atom}" for atom in atoms)
    term.has_fraction = True
    return ""
