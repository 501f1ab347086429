"""How unlike each other the completions of one prompt are: where all are alike, nothing is left to explore.

Distinct-2 is the share of bigrams that are different ones (Li et al., arXiv 1510.03055), here of token ids over
all completions of a prompt.
"""

from collections.abc import Iterator, Sequence
from itertools import combinations, pairwise

Tokens = Sequence[int]


def groups_of(prompts: Sequence[str], completions: Sequence[Tokens]) -> list[list[Tokens]]:
    """Completions by prompt, in the order of their first."""
    groups: dict[str, list[Tokens]] = {}
    for prompt, completion in zip(prompts, completions, strict=True):
        groups.setdefault(prompt, []).append(completion)
    return list(groups.values())


def distinct_2(group: Sequence[Tokens]) -> float:
    """Different bigrams over all bigrams, in [0, 1]; 1 where there is none."""
    bigrams = [pair for completion in group for pair in pairwise(completion)]
    return len(set(bigrams)) / len(bigrams) if bigrams else 1.0


def self_similarity(group: Sequence[Tokens]) -> float:
    """Mean Jaccard similarity of the bigrams of two completions, in [0, 1]; 1 where all are the same."""
    similarities = list(_similarities([frozenset(pairwise(completion)) for completion in group]))
    return sum(similarities) / len(similarities) if similarities else 0.0


def _similarities(bigrams: Sequence[frozenset[tuple[int, int]]]) -> Iterator[float]:
    for one, other in combinations(bigrams, 2):
        union = len(one | other)
        yield len(one & other) / union if union else 1.0
