"""The recipe `burnish init` writes: as many stages as the user's files allow, every choice commented."""

import json
import os
import re
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa

from data_contracts.errors import RecipeError
from data_contracts.rows import Problem, RowKind
from infra.intake.mapping import Defaults
from infra.intake.whole_tables import normalise, read_file
from stages.verifiers.ground_truths import require_gradable
from stages.verifiers.pool import shared_pool


@dataclass(frozen=True, slots=True)
class OwnFiles:
    """What the user has."""

    sft: Path | None
    problems: Path | None
    pairs: Path | None
    base: Path | None
    verifier: str

    def given(self) -> dict[str, tuple[Path, RowKind]]:
        """Dataset name → file and what it should hold."""
        files = {
            "examples": (self.sft, RowKind.sft),
            "problems": (self.problems, RowKind.problems),
            "given_pairs": (self.pairs, RowKind.pairs),
        }
        return {name: (path, kind) for name, (path, kind) in files.items() if path is not None}


def check_files(files: OwnFiles) -> dict[str, int]:
    """Read every file as what it should be; returns rows per dataset. Raises DataError."""
    if not files.given():
        raise RecipeError("No file was given.", "--sft, --problems or --pairs", "See `burnish init --help`.")
    counts: dict[str, int] = {}
    for name, (path, kind) in files.given().items():
        _, table = normalise(read_file(path, kind), kind, str(path), Defaults(name, files.verifier, "{}"))
        counts[name] = table.num_rows
        if kind is RowKind.problems:
            _check_problems(table)
    return counts


def recipe_text(recipe: Path, files: OwnFiles, counts: dict[str, int]) -> str:
    """The YAML, paths relative to the recipe's own folder."""
    folder = recipe.absolute().parent
    name = re.sub(r"[^a-z0-9_]+", "_", recipe.stem.lower()).strip("_")
    name = name if name[:1].isalpha() else f"recipe_{name}".rstrip("_")
    return "\n".join(
        [
            "# Made by `burnish init`. `burnish plan` shows what it will do, `burnish run` does it.",
            f"name: {name}",
            "seed: 0",
            *_base(files, folder),
            "",
            "datasets:",
            *_datasets(files, folder),
            "",
            "stages: # `start` is the model a stage begins from, `rows` is what it reads",
            *_stages(files, counts),
            *_evaluate(files),
            "",
        ]
    )


def _check_problems(table: pa.Table) -> None:
    rows = table.select(list(Problem.model_fields)).slice(0, 1000).to_pylist()
    require_gradable(rows, shared_pool())


def _relative(path: Path, folder: Path) -> str:
    return json.dumps(os.path.relpath(path.absolute(), folder))


def _base(files: OwnFiles, folder: Path) -> list[str]:
    if files.base is not None:
        return [f"base: {{path: {_relative(files.base, folder)}}}"]
    return [
        "# A tiny model with random weights, to try the whole chain in minutes. For a real one:",
        "#   base: {path: ./Qwen2.5-0.5B-Instruct}       a local Hugging Face directory",
        "#   base: {model: Qwen/Qwen2.5-0.5B-Instruct, revision: <commit>}",
        "base: {build: tiny-qwen3}",
    ]


def _datasets(files: OwnFiles, folder: Path) -> list[str]:
    lines: list[str] = []
    for name, (path, kind) in files.given().items():
        if kind is not RowKind.problems:
            lines.append(f"  {name}: {{path: {_relative(path, folder)}, kind: {kind}}}")
            continue
        lines += [
            f"  all_problems: {{path: {_relative(path, folder)}, kind: problems, verifier: {files.verifier}}}",
            "  # One problem in five is held out, by its content, so that no problem is on both sides.",
            "  problems:",
            "    {rows: [all_problems], kind: problems,",
            "     sql: \"select * from all_problems where ('0x' || sha256(prompt::varchar)[1:8])::bigint % 5 > 0\"}",
            "  held_out:",
            "    {rows: [all_problems], kind: problems,",
            "     sql: \"select * from all_problems where ('0x' || sha256(prompt::varchar)[1:8])::bigint % 5 = 0\"}",
        ]
    return lines


def _stages(files: OwnFiles, counts: dict[str, int]) -> list[str]:
    rate = "learning_rate: {}, " if files.base is None else ""
    lines: list[str] = []
    start = "base"
    if files.sft:
        lines += _sft(rate, "epochs: 2" if files.base else "steps: 100", _batch(counts["examples"] // 2, 64))
        start = "sft"
    if files.problems:
        lines += [
            "  audit: {kind: audit, rows: [problems]} # is the reward right? before training is paid by it",
            *_check("check", start),
        ]
    if files.problems or files.pairs:
        rows = ", ".join(
            [*(["preferences"] if files.problems else []), *(["given_pairs"] if files.pairs else [])]
        )
        if files.problems:
            lines.append("  preferences: {kind: pairs, rows: [check], min_margin: 0.5}")
        lines += [
            "  dpo: # length-normalized (Tülu 3): beta is per token, 5 is the published best",
            f"    {{kind: dpo, start: {start}, rows: [{rows}], beta: 5, {rate.format('5e-5')}epochs: 1,",
            "     global_batch: 32, max_length: 512}",
        ]
        start = "dpo"
    if files.problems:
        prompts = _batch(counts["problems"] // 5, 16)
        lines += [
            *_check("second_check", start),
            "  # Only problems that are solved sometimes teach GRPO anything.",
            "  band: {kind: select, rows: [second_check], pass_rate: [0.1, 0.9]}",
            "  grpo:",
            f"    {{kind: grpo, start: {start}, rows: [band], {rate.format('2e-4')}warmup_steps: 5, steps: 20,",
            f"     prompts_per_step: {prompts}, group_size: 8, max_prompt_length: 256, max_completion_length: 256}}",
        ]
    return lines


def _sft(rate: str, length: str, batch: int) -> list[str]:
    return [
        "  sft:",
        f"    {{kind: sft, start: base, rows: [examples], {rate.format('1e-3')}{length}, global_batch: {batch},"
        " max_length: 512}",
    ]


def _check(name: str, start: str) -> list[str]:
    return [
        f"  {name}: # the verified-reward task: sample, judge, keep every completion with its reason",
        f"    {{kind: verify, start: {start}, rows: [audit], samples: 8, max_completion_length: 256}}",
    ]


def _batch(rows: int, wanted: int) -> int:
    return max(1, min(wanted, rows))


def _evaluate(files: OwnFiles) -> list[str]:
    if not files.problems:
        return []
    return ["", "evaluate: {rows: [held_out], samples: 4, temperature: 1.0, max_completion_length: 256}"]
