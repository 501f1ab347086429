"""The kinds of stages, explicitly."""

from collections.abc import Callable
from typing import Any

from data_contracts.jobs import StageJob, StageResult
from stages.audit import audit_problems
from stages.base_model import make_base
from stages.dpo import train_dpo
from stages.gate import gate
from stages.grpo import train_grpo
from stages.pairs import make_pairs
from stages.select import select_problems
from stages.sft import train_sft
from stages.verify import verify_model

STAGES: dict[str, Callable[[StageJob, Any], StageResult]] = {
    "base": make_base,
    "sft": train_sft,
    "dpo": train_dpo,
    "grpo": train_grpo,
    "verify": verify_model,
    "pairs": make_pairs,
    "select": select_problems,
    "audit": audit_problems,
    "gate": gate,
}
