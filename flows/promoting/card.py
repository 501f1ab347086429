"""A model card: who decided on a version and why, how right it is, what it was made from, how it is loaded.

After "Model Cards for Model Reporting" (Mitchell et al., arXiv 1810.03993) in Hugging Face's form. It is made from the
ledger and the catalog whenever it is asked for, so nothing of it is kept twice; MLflow has a projection of it.
"""

import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data_contracts.canonical import fingerprint
from data_contracts.data_card import DataCard
from data_contracts.gates import GateVerdict
from flows.lineage.models import ancestors, reference_of
from flows.promoting.behind import datasets_behind, recipe_that_made
from flows.promoting.card_metadata import front_matter, sampling_of
from flows.promoting.decisions import REFUSE, VERSION, tenures
from flows.promoting.evaluations import find_evaluation
from flows.promoting.loading import Form, hub_base, loading_section
from flows.promoting.markdown import code, codes, section
from flows.promoting.why import Explanation, Rows, explain
from flows.suites import GATE
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution
from infra.warehouse.warehouse import Warehouse

_MACHINE = ("host",)
"""Of what an execution notes of its surroundings: nobody else's business."""


@dataclass(frozen=True, slots=True)
class Card:
    """What there is to say of one version."""

    front_matter: str
    sections: tuple[str, ...]
    """Markdown, what is asked for most first."""

    @property
    def body(self) -> str:
        return "\n\n".join(self.sections) + "\n"

    @property
    def text(self) -> str:
        """The whole README.md."""
        return f"{self.front_matter}\n\n{self.body}"

    def shortened(self, most_characters: int) -> str:
        """As many whole sections as fit, without front matter."""
        if len(self.body) <= most_characters:
            return self.body
        left = "\nThe rest is in README.md beside the weights.\n"
        kept = ""
        for each in self.sections:
            if len(kept) + len(each) + len(left) + 2 > most_characters:
                break
            kept += f"{each}\n\n"
        return kept.rstrip("\n") + "\n" + left


def make_card(
    home: Home,
    ledger: Ledger,
    warehouse: Warehouse,
    made: Execution,
    *,
    form: Form = "model",
    data_cards: Mapping[str, DataCard] | None = None,
) -> Card:
    """The card of a version in one of its forms; `data_cards`, by `name@version`, say more of the rows."""
    why, behind = explain(home, ledger, warehouse, made), ancestors(ledger, made)
    evaluation = find_evaluation(home, ledger, made)
    origins = {str(version): version.origin for version in warehouse.versions()}
    sections = [
        _heading(ledger, why, made),
        section("Promotion", *_promotion(ledger, why, made)),
        section("Evaluation", *_evaluation(evaluation)),
        loading_section(home, made, behind, form),
        section("Made from", *_stages(why, behind)),
        section("Data", *_data(why.datasets, origins, behind, data_cards or {})),
        section(
            "Verifiers", *(f"{code(name)}, code {code(digest)}" for name, digest in why.verifiers.items())
        ),
        section("Libraries", *_libraries(made, evaluation)),
    ]
    return Card(front_matter(why, behind, evaluation, form, origins), tuple(filter(None, sections)))


def _heading(ledger: Ledger, why: Explanation, made: Execution) -> str:
    document = recipe_that_made(ledger, made)
    lines = [
        f"Made by Burnish: stage {code(made.stage)} ({made.kind}) of the recipe {code(made.pipeline)}, run "
        f"{code(made.run_id)}, {_utc(made.ended)}.",
        f"Content {code(why.fingerprint)}; recipe {code(fingerprint(document))}.",
    ]
    lines += [
        f"**It saw rows that were withdrawn since:** {code(each.scope)}, because {code(each.reason)}."
        for each in ledger.withdrawals()
        if why.model in each.models
    ]
    return "\n\n".join([f"# {code(why.model)}", *lines])


def _promotion(ledger: Ledger, why: Explanation, made: Execution) -> Iterable[str]:
    decided = why.decided
    if decided is None:
        yield "It never was the champion."
    else:
        because = f", because {code(decided.reason)}" if decided.reason else ""
        when = "It is the champion" if decided.is_in_force else "It was the champion"
        yield f"{when}: {decided.kind} by {code(decided.actor)} on {_utc(decided.made)}{because}."
        if decided.override:
            yield f"The gate refused it and was overridden: {code(decided.override)}"
        if decided.gate is not None:
            yield from _gate(decided.gate)
        for tenure in tenures(ledger, made.name):
            if tenure.version == made.version and tenure.ended is not None:
                yield f"Champion from {_utc(tenure.began)} until {_utc(tenure.ended)}."
    for refusal in ledger.decisions(made.name):
        if refusal.kind == REFUSE and refusal.evidence[VERSION] == made.version:
            yield f"Refused on {_utc(refusal.made)}."
            if refusal.evidence[GATE]:
                yield from _gate(GateVerdict.model_validate(refusal.evidence[GATE]))
            return


def _gate(gate: GateVerdict) -> Iterable[str]:
    yield f"Gate {'passed' if gate.passed else 'refused'}: {code(gate.sentence)}"
    for check in gate.checks:
        yield f"{'held' if check.holds else 'not held'}: {code(check.sentence)}"


def _evaluation(evaluation: Execution | None) -> Iterable[str]:
    if evaluation is None:
        yield "Nothing verified it."
        return
    metrics: Mapping[str, float] = evaluation.result["metrics"]
    yield (
        f"**Verified accuracy {metrics['eval/accuracy']:.1%}**, 95 % interval "
        f"[{metrics['eval/accuracy_low']:.1%}, {metrics['eval/accuracy_high']:.1%}] (Wilson), of "
        f"{metrics['eval/completions']:,.0f} completions on {metrics['eval/problems']:,.0f} problems."
    )
    rows = [reference_of(given) for given in evaluation.inputs if given.role == "rows"]
    yield f"Problems: {codes(rows)}; right is what {codes(evaluation.result['judged_by'])} gave full reward."
    yield f"Sampling: {codes(f'{name} {value}' for name, value in sampling_of(evaluation).items())}."
    told = ("eval/accuracy", "eval/accuracy_low", "eval/accuracy_high", "eval/completions", "eval/problems")
    others = {name: value for name, value in metrics.items() if name not in told}
    if others:
        yield f"Also: {codes(f'{name} {value:.4g}' for name, value in others.items())}."


def _stages(why: Explanation, behind: Sequence[Execution]) -> Iterable[str]:
    seeds = {reference_of(each): each.identity.get("seed") for each in behind}
    for made in why.stages:
        given = f" from {codes(made.given)}" if made.given else ""
        chosen = {"seed": seeds[made.reference], **made.config}
        config = codes(f"{name} {value}" for name, value in chosen.items())
        yield f"{code(made.reference)} ({made.kind}){given}: {config}; content {code(made.fingerprint)}"
    if (base := hub_base(behind)) is not None:
        yield f"The base is {code(base[0])} of the Hugging Face hub at {code(base[1])}; its licence holds too."


def _data(
    datasets: Iterable[Rows],
    origins: Mapping[str, Mapping[str, Any]],
    behind: Iterable[Execution],
    cards: Mapping[str, DataCard],
) -> Iterable[str]:
    sources = {
        reference_of(each): each.identity.get("config", {}) for each in behind if each.kind == "dataset"
    }
    trained = datasets_behind(*behind)
    for rows in datasets:
        counted = "rows gone from this home" if rows.rows is None else f"{rows.rows:,} rows"
        licence = f"licence {codes(rows.licences)}" if rows.licences else "no licence told"
        origin = _origin(origins.get(rows.reference, {}), sources.get(rows.reference, {}))
        use = "" if rows.reference in trained else ", for evaluation alone"
        yield f"{code(rows.reference)}: {counted}{use}, content {code(rows.fingerprint)}, {licence}{origin}"
        if (card := cards.get(rows.reference)) is not None:
            yield from _facts(card)


def _origin(told: Mapping[str, Any], config: Mapping[str, Any]) -> str:
    if origin := told.get("options", {}).get("origin") or told.get("source"):
        return f", from {code(origin)}"
    if config.get("hub"):
        return f", from the hub: {code(config['hub'])} at {code(config['hub_revision'])}"
    return f", generated: {code(config['generate'])}" if config.get("generate") else ""


def _facts(card: DataCard) -> Iterable[str]:
    """Under the rows they are about."""
    yield (
        f"{card.kind.value} rows, {card.text_bytes:,} bytes of text; {card.duplicate_rows:,} repeat an earlier row"
        + ("" if card.repeated_prompts is None else f", {card.repeated_prompts:,} an earlier prompt")
    )
    yield from (f"**Warning:** {code(warning)}" for warning in card.warnings())


def _libraries(made: Execution, evaluation: Execution | None) -> Iterable[str]:
    for what, each in (("made", made), ("evaluated", evaluation)):
        if each is not None and each.environment:
            told = {name: value for name, value in each.environment.items() if name not in _MACHINE}
            yield f"{what} with {codes(f'{name} {value}' for name, value in told.items())}"


def _utc(seconds: float) -> str:
    """The same in every reader's zone: MLflow's copy is compared with what another machine would write."""
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime(seconds))
