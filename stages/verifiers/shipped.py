"""Burnish's own verifiers by name, and where each record is. Names only: the catalog loads what is asked for."""

SHIPPED = {
    "code": "stages.verifiers.code:CODE",
    "composite": "stages.verifiers.composite:COMPOSITE",
    "exact_match": "stages.verifiers.exact_match:EXACT_MATCH",
    "exact_number": "stages.verifiers.exact_number:EXACT_NUMBER",
    "format": "stages.verifiers.format:FORMAT",
    "gsm8k": "stages.verifiers.gsm8k:GSM8K",
    "ifeval": "stages.verifiers.ifeval:IFEVAL",
    "json_schema": "stages.verifiers.json_schema:JSON_SCHEMA",
    "length": "stages.verifiers.length:LENGTH",
    "math": "stages.verifiers.math_answer:MATH",
    "multiple_choice": "stages.verifiers.multiple_choice:MULTIPLE_CHOICE",
    "regex_match": "stages.verifiers.regex_match:REGEX_MATCH",
    "repetition": "stages.verifiers.repetition:REPETITION",
    "schedule": "stages.verifiers.schedule:SCHEDULE",
    "schedule_original": "stages.verifiers.schedule_original:SCHEDULE_ORIGINAL",
    "steps": "stages.verifiers.steps:STEPS",
}

COMPOSITE_NAME = "composite"

IN_LIMITS = {"code": "stages.verifiers.code:CODE_IN_LIMITS"}
"""Those that run programs, where resource limits must do for a sandbox."""

ASKED = {
    "judge": "stages.verifiers.judge",
    "reward_model": "stages.verifiers.reward_model",
}
"""Modules that ask a model, by the kind a recipe names."""

ENTRY_POINTS = "burnish.verifiers"
"""The group under which an installed package offers verifiers of its own."""
