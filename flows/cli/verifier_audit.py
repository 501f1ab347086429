"""`burnish verifier audit`: is the reward of these problems right, and what does it pay without skill?"""

from typing import TYPE_CHECKING, Annotated

from cyclopts import Parameter
from rich.console import Group
from rich.table import Table
from rich.text import Text

from data_contracts.audit_config import AuditConfig
from data_contracts.errors import DataError, Interrupted
from data_contracts.rows import RowKind
from flows.cli.context import plain_console, print_json
from flows.cli.data_context import Reference, open_data, rows_line
from flows.cli.run_commands import Json
from flows.cli.verifier_options import Added, Sandbox, read_added

if TYPE_CHECKING:
    from stages.audit_report import AuditReport, Share, VerifierFindings


def audit(
    problems: Reference,
    *,
    reward: Annotated[
        tuple[str, ...],
        Parameter(help="Verifiers that training would pay for; `problem`, the row's own, by default."),
    ] = ("problem",),
    metric: Annotated[
        str | None, Parameter(help="The verifier that says what is right; the row's own by default.")
    ] = None,
    seed: Annotated[int, Parameter(help="Of the sample that is fuzzed.")] = 0,
    add: Added = (),
    sandbox: Sandbox = "strong",
    json: Json = False,
) -> int:
    """Show that a reward is right before a policy is trained on it. Exit code 1 where it is not.

    Every ground truth must earn full reward, right completions in other forms too, and wrong ones must not. Policies
    without skill (empty, echo, copy everything) are scored by the reward and by the metric: one that earns much
    and is seldom right shows what a policy would learn instead of the task.

    For example:

        burnish verifier audit maths
        burnish verifier audit events --reward schedule_original --metric schedule
    """
    context = open_data()
    version = context.warehouse.get(problems)
    if version.kind is not RowKind.problems:
        raise DataError(
            f"{version} holds {version.kind} rows.", "problems", "`burnish data list` shows the kinds."
        )
    from stages.audit import audit as audit_rows
    from stages.verifiers.catalog import Catalog
    from stages.verifiers.pool import VerifierPool

    config = AuditConfig.model_validate({"rows": str(version), "rewards": list(reward), "metric": metric})
    rows = context.warehouse.reader.read(version).to_pylist()
    try:
        with VerifierPool(Catalog(read_added(add), sandbox)) as pool, rows_line(str(version)) as line:
            report = audit_rows(
                rows,
                config,
                pool,
                seed=seed,
                on_progress=lambda done, total: line.show(done, total, "completions"),
            )
    except KeyboardInterrupt as interrupt:
        raise Interrupted("The audit was stopped.", "", "Nothing was kept: run it again.") from interrupt
    if json:
        print_json(report.as_document())
    else:
        plain_console().print(_view(report))
    return int(bool(report.blocks))


def _view(report: "AuditReport") -> Group:
    parts: list[Table | Text] = []
    for found in report.verifiers:
        parts += [_findings(found), _policies(found)]
    parts += [Text(f"Finding: {sentence}.", "bold red") for sentence in report.blocks]
    parts += [Text(f"Note: {sentence}.") for sentence in report.notes]
    if not report.blocks:
        parts.append(Text("Nothing speaks against training on this reward.", "bold green"))
    return Group(*parts)


def _findings(found: "VerifierFindings") -> Table:
    table = Table(title=f"Verifier {found.verifier}", title_justify="left")
    for heading in ("question", "answer", "share (95 % interval)"):
        table.add_column(heading, overflow="fold")
    for question, share in (
        ("problems that cannot be trained on", found.faults),
        ("right completions refused", found.false_negatives),
        ("wrong completions paid", found.false_positives),
        ("completions without a verdict", found.failures),
        ("verdicts that changed when asked again", found.repeated.changed),
    ):
        table.add_row(question, f"{share.count:,} of {share.of:,}", _interval(share))
    if found.second is not None:
        differ = found.second.differ
        table.add_row(
            f"verdicts that {found.second.verifier} would give otherwise",
            f"{differ.count:,} of {differ.of:,}",
            _interval(differ),
        )
    seconds = found.seconds
    times = ", ".join(f"{1000 * each:.2f}" for each in (seconds.p50, seconds.p99, seconds.max))
    table.add_row("milliseconds a verdict (median, 99 %, longest)", times, "")
    return table


def _interval(share: "Share") -> str:
    return f"{share.value:.2%} ({share.low:.2%} to {share.high:.2%})" if share.of else ""


def _policies(found: "VerifierFindings") -> Table:
    table = Table(title=f"Policies without skill on {found.verifier}", title_justify="left")
    for heading in ("policy", "problems", "reward", "right"):
        table.add_column(heading, overflow="fold", justify="left" if heading == "policy" else "right")
    for score in found.policies:
        table.add_row(score.policy, f"{score.problems:,}", f"{score.reward:.3f}", f"{score.metric:.1%}")
    return table
