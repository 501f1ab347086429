"""Agreement with IFEval's reference implementation, and checks per processor second of both.

    python -m tests.benchmarks.ifeval_agreement --reference-python PATH     # --completions, --seed

Cases come from the 541 published rows: for each, completions are built by program that satisfy its constraints,
nearly do, or do not, from sentences of 22 languages and the texts of GSM8K and MATH, and then damaged at random; each
is also held against constraints of other rows. ifeval_reference.py says what PATH must have installed.

Every constraint is compared one by one, strictly and loosely. A disagreement counts as deliberate where one of the
differences that the verifier documents explains it, told from the text alone by the predicates below; as unsettled
where the reference contradicts itself under another seed of langdetect; and as a defect otherwise.
"""

import argparse
import json
import os
import random
import re
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from langdetect import DetectorFactory, detect

from data_contracts.verdict import PosedProblem
from stages.verifiers.ifeval import ifeval
from stages.verifiers.ifeval_language import ifeval_with_languages

REAL_DATA = Path(os.environ.get("BURNISH_REAL_DATA", Path(__file__).parents[3] / "shared" / "data"))
SENTENCES = Path(__file__).with_name("ifeval_sentences.json")
REFERENCE = Path(__file__).with_name("ifeval_reference.py")
SEEDS = (0, 1, 2)
Case = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--reference-python", required=True)
    parser.add_argument("--completions", type=int, default=4, help="completions a row")
    parser.add_argument("--seed", type=int, default=11)
    options = parser.parse_args()
    cases = make_cases(random.Random(options.seed), options.completions)
    theirs, their_seconds = reference_verdicts(options.reference_python, cases, SEEDS[0])
    again = [reference_verdicts(options.reference_python, cases, seed)[0] for seed in SEEDS[1:]]
    parts_of({**cases[0], "completion": "a. b. c."}, "all")  # loads the splitter, as the reference's run does
    seconds: dict[str, float] = {}
    for reward in ("all", "fraction"):
        start = time.process_time()
        ours = [parts_of(case, reward) for case in cases]
        seconds[reward] = time.process_time() - start
    report(cases, ours, [theirs, *again])
    checks = sum(map(len, theirs))
    print(f"{checks:,} checks, per second: reference {checks / their_seconds:,.0f}", end="")
    for reward, took in seconds.items():
        print(f"; ours, reward {reward}, {checks / took:,.0f} ({their_seconds / took:.1f} x)", end="")
    print()


def parts_of(case: Case, reward: str) -> list[bool]:
    problem = PosedProblem(case["prompt"], "")
    arguments = {key: case[key] for key in ("instruction_id_list", "kwargs", "loose")}
    verdict = ifeval(case["completion"], problem, **arguments, reward=reward)
    if verdict is None:
        verdict = ifeval_with_languages(case["completion"], problem, **arguments, reward=reward)
    return [bool(met) for met in verdict.parts.values()]


def reference_verdicts(python: str, cases: list[Case], seed: int) -> tuple[list[list[bool]], float]:
    done = subprocess.run(
        [python, str(REFERENCE), str(seed)],
        input="\n".join(map(json.dumps, cases)),
        capture_output=True,
        text=True,
        check=True,
    )
    *verdicts, last = map(json.loads, done.stdout.splitlines())
    return verdicts, last["seconds"]


def report(cases: list[Case], ours: list[list[bool]], theirs: list[list[list[bool]]]) -> None:
    rows: dict[str, Counter[str]] = {}
    explained: Counter[str] = Counter()
    for number, case in enumerate(cases):
        for at, (name, given) in enumerate(zip(case["instruction_id_list"], case["kwargs"], strict=True)):
            row = rows.setdefault(name, Counter())
            said = {verdicts[number][at] for verdicts in theirs}
            row["met" if ours[number][at] else "broken"] += 1
            if ours[number][at] == theirs[0][number][at]:
                row["agree"] += 1
                continue
            reasons = (
                why
                for why, ours_is, applies in EXPLANATIONS
                if applies(name, given, case["completion"]) and ours[number][at] in ours_is
            )
            if reason := next(reasons, ""):
                row["deliberate"] += 1
                explained[f"{name}: {reason} (ours {'met' if ours[number][at] else 'broken'})"] += 1
            elif len(said) > 1:
                row["unsettled"] += 1
            else:
                row["defect"] += 1
                print(
                    f"DEFECT ours {ours[number][at]}: {name} {given} loose={case['loose']} {case['completion']!r}"
                )
    columns = ("met", "broken", "agree", "deliberate", "unsettled", "defect")
    print(f"{'constraint':45}" + "".join(f"{column:>11}" for column in columns))
    for name, row in [*sorted(rows.items()), ("all", sum(rows.values(), Counter()))]:
        print(f"{name:45}" + "".join(f"{row[column]:>11,}" for column in columns))
    total = sum(rows.values(), Counter())
    print(
        f"agreement: {total['agree'] / (total['agree'] + total['unsettled'] + total['defect']):.4%}", end=" "
    )
    print(
        f"outside deliberate differences; {total['agree'] / total.total() * 2:.2%} with them counted against us"
    )
    print(*(f"{count:>7,}  {why}" for why, count in explained.most_common()), sep="\n")


def _says(text: str) -> bool:
    return any(character.isalnum() for character in text)


def _readings(text: str) -> list[str]:
    lines = text.split("\n")
    loose = ["\n".join(part) for part in (lines[1:], lines[:-1], lines[1:-1])]
    return [text, *(reading for reading in loose if reading.strip())]


def _some_reading_is_in_capitals(text: str) -> bool:
    return any(reading.isupper() for reading in _readings(text))


def _has_a_line_in_another_language(given: dict[str, Any], text: str) -> bool:
    """By langdetect itself."""
    long = [line.lower() if line.isupper() else line for line in text.split("\n") if len(line) >= 40]
    DetectorFactory.seed = SEEDS[0]
    return any(detect(line) != given.get("language", "en") for line in long)


def _is_in_two_scripts(text: str) -> bool:
    latin = sum(character.isascii() for character in text if character.isalpha())
    return 0.1 < latin / max(1, sum(map(str.isalpha, text))) < 0.9


def _when(names: str, holds: Callable[[str], Any]) -> Callable[[str, dict[str, Any], str], bool]:
    return lambda name, given, text: name.partition(":")[2] in names.split() and bool(holds(text))


def _gives_several(text: str) -> bool:
    return len(set(re.findall(r"My answer is (?:yes|no|maybe)\.", text))) > 1


def _has_empty_section(given: dict[str, Any], text: str) -> bool:
    pieces = re.split(rf"{re.escape(given.get('section_spliter', 'Section'))}\s?(\d+)", text)
    return len(set(pieces[1::2])) < len(pieces[1::2]) or not all(map(_says, pieces[2::2]))


def _has_postscript_only(text: str) -> bool:
    lowered = text.lower()
    edge = re.search(r"^\W*p\.|p\.\s?s\.?\W*$", lowered)
    return bool(edge or re.search(r"\wp\.", lowered))


STRICTER, LAXER, EITHER = (False,), (True,), (True, False)
LANGUAGES = "response_language english_capital english_lowercase"
EXPLANATIONS: list[tuple[str, tuple[bool, ...], Callable[[str, dict[str, Any], str], bool]]] = [
    ("nothing said", STRICTER, lambda name, given, text: not all(map(_says, _readings(text)))),
    ("no bare brackets", STRICTER, _when("number_placeholders", re.compile(r"\[[^\w\]\n]*\]").search)),
    ("no empty bullets", EITHER, _when("number_bullet_lists", re.compile(r"(?m)^\s*[-*][\W_]*$").search)),
    ("one option of three", STRICTER, _when("constrained_response", _gives_several)),
    ("bold italics are one", STRICTER, _when("number_highlighted_sections", lambda text: "***" in text)),
    (
        "no empty highlights",
        STRICTER,
        _when("number_highlighted_sections", re.compile(r"\*[^\w*\n]+\*").search),
    ),
    (
        "sections differ and have content",
        STRICTER,
        lambda name, given, text: "multiple_sections" in name and _has_empty_section(given, text),
    ),
    (
        "no empty paragraphs",
        EITHER,
        _when("number_paragraphs", lambda text: not all(map(_says, text.split("***")))),
    ),
    (
        "the n-th that says something",
        EITHER,
        _when("nth_paragraph_first_word", lambda text: not all(map(_says, text.split("\n\n")))),
    ),
    ("no empty title", STRICTER, _when("title", re.compile(r"<<[\W_]*>>").search)),
    ("answer, then postscript", STRICTER, _when("postscript", _has_postscript_only)),
    ("object or array", STRICTER, _when("json_format", lambda text: not re.search(r"^\W*[{\[]", text))),
    ("RFC 8259", STRICTER, _when("json_format", re.compile("NaN|Infinity|ud[89a-f]").search)),
    ("responses differ in words", STRICTER, _when("two_responses", lambda text: "******" in text)),
    ("an answer besides its edge", STRICTER, lambda name, given, text: _is_all_there_is(given, text)),
    ("words hold marks", EITHER, _when("number_words", lambda text: not text.isascii())),
    ("_ is no word", EITHER, _when("number_words", re.compile(r"(?<!\w)_+(?!\w)").search)),
    (
        "a sentence says something",
        EITHER,
        _when("number_sentences", re.compile(r"[.?!][\s\W_]+[.?!]|^[\W_]+").search),
    ),
    (
        "a contraction is one word",
        EITHER,
        _when(
            "capital_word_frequency", re.compile(r"[A-Z]['’][A-Z]|['’][A-Z]|CANNOT|GONNA|GOTTA|WANNA").search
        ),
    ),
    ("commas of other scripts", STRICTER, _when("no_comma", re.compile("[،、，‚]").search)),
    ("a letter beyond a to z", EITHER, lambda name, given, text: not given.get("letter", "a").isalpha()),
    ("as seen", EITHER, lambda name, given, text: name.startswith("keywords:") and not text.isascii()),
    ("capitals are read", EITHER, _when("response_language english_capital", _some_reading_is_in_capitals)),
    ("no word, so no language", STRICTER, _when(LANGUAGES, lambda text: sum(map(str.isalpha, text)) < 3)),
    (
        "every block counts",
        STRICTER,
        lambda name, given, text: (
            name.partition(":")[2] in LANGUAGES.split() and _has_a_line_in_another_language(given, text)
        ),
    ),
    ("two scripts, all n-grams count", EITHER, _when(LANGUAGES, _is_in_two_scripts)),
]


def _is_all_there_is(given: dict[str, Any], text: str) -> bool:
    edge = given.get("prompt_to_repeat") or given.get("end_phrase") or ""
    return bool(edge) and not _says(text.lower().replace(edge.strip().lower(), "", 1))


def make_cases(rng: random.Random, completions: int) -> list[Case]:
    rows = [json.loads(line) for line in (REAL_DATA / "ifeval" / "input_data.jsonl").read_text().splitlines()]
    pool = [pair for row in rows for pair in zip(row["instruction_id_list"], row["kwargs"], strict=True)]
    writer = Writer(rng)
    cases: list[Case] = []
    for row in rows:
        own = list(zip(row["instruction_id_list"], row["kwargs"], strict=True))
        for _ in range(completions):
            constraints = own + rng.sample(pool, 2)
            case = {
                "instruction_id_list": [name for name, _ in constraints],
                "kwargs": [given for _, given in constraints],
                "prompt": row["prompt"],
                "completion": writer.write(constraints),
            }
            cases += [{**case, "loose": False}, {**case, "loose": True}]
    return cases


class Writer:
    """Completions that meet constraints, or fail to by one."""

    def __init__(self, rng: random.Random) -> None:
        self.rng = rng
        self.sentences: dict[str, list[str]] = json.loads(SENTENCES.read_text(encoding="utf-8"))
        solutions = pq.read_table(REAL_DATA / "math_train" / "test.parquet").to_pylist()
        self.texts = [
            json.loads(line)["answer"]
            for line in (REAL_DATA / "gsm8k" / "test.jsonl").read_text().splitlines()
        ] + [row.get("solution") or str(row["prompt"]) for row in solutions]

    def write(self, constraints: list[tuple[str, dict[str, Any]]]) -> str:
        rng, given = self.rng, dict(constraints)
        language = given.get("language:response_language", {}).get("language", "en")
        if rng.random() < 0.2:
            language = rng.choice(sorted(self.sentences))
        text = self._paragraphs(language, given)
        for name, arguments in rng.sample(constraints, len(constraints)):
            if rng.random() < 0.85 and (meet := getattr(self, f"_{name.partition(':')[2]}", None)):
                text = meet(text, rng.choice([0, 0, -1]), **arguments)
        return self._damaged(text)

    def _paragraphs(self, language: str, given: dict[str, Any]) -> str:
        rng, sentences = self.rng, self.sentences.get(language, self.sentences["en"])
        if language == "en" and rng.random() < 0.25:
            return rng.choice(self.texts)
        length = given.get("length_constraints:number_sentences", {}).get("num_sentences", rng.randint(1, 8))
        words = given.get("length_constraints:number_words", {}).get("num_words", 0)
        chosen = [rng.choice(sentences) for _ in range(max(1, length + rng.choice([-1, 0, 1])))]
        while words and len(re.findall(r"\w+", " ".join(chosen))) < words + rng.choice([-5, 0]):
            chosen.append(rng.choice(sentences))
        paragraphs = given.get("length_constraints:nth_paragraph_first_word", {}).get("num_paragraphs")
        count = paragraphs or rng.randint(1, 3)
        size = -(-len(chosen) // count)
        return "\n\n".join(" ".join(chosen[at : at + size]) for at in range(0, len(chosen), size))

    def _damaged(self, text: str) -> str:
        rng = self.rng
        if rng.random() < 0.5:
            return text
        for _ in range(rng.choice([1, 1, 3, 10])):
            at = rng.randrange(len(text) + 1)
            how = rng.randrange(6)
            if how < 3:
                text = (
                    text[:at]
                    + rng.choice(
                        [
                            '"',
                            "*",
                            "**",
                            "***",
                            "- ",
                            "\n",
                            "\n\n",
                            ",",
                            ".",
                            "!",
                            "?",
                            " ",
                            "[",
                            "]",
                            "<<",
                            ">>",
                            "{",
                            "A",
                            "NASA ",
                            "e.g. ",
                            "Mr. ",
                            "...",
                            "'",
                            "#",
                            "_",
                            " * ",
                            ")",
                            ": ",
                        ]
                    )
                    + text[at:]
                )
            elif how < 5:
                text = text[:at] + text[at + rng.choice([1, 1, 5]) :]
            else:
                text = rng.choice([str.upper, str.lower, str.title, str.strip, lambda same: same])(text)
        return text

    def _insert(self, text: str, piece: str) -> str:
        spaces = [found.start() for found in re.finditer(" ", text)] or [len(text)]
        at = self.rng.choice(spaces)
        return f"{text[:at]} {piece}{text[at:]}"

    def _existence(self, text: str, off: int, *, keywords: list[str]) -> str:
        for word in keywords[: len(keywords) + off]:
            text = self._insert(text, self.rng.choice([word, word.title(), f"{word}s"]))
        return text

    def _frequency(self, text: str, off: int, *, keyword: str, frequency: int, relation: str) -> str:
        for _ in range(max(0, frequency + off)):
            text = self._insert(text, self.rng.choice([keyword, keyword.upper(), f"un{keyword}"]))
        return text

    def _forbidden_words(self, text: str, off: int, *, forbidden_words: list[str]) -> str:
        word = self.rng.choice(forbidden_words)
        return self._insert(text, word.title() if off else f"{word}{self.rng.choice(['x', 's', '_', '1'])}")

    def _letter_frequency(
        self, text: str, off: int, *, letter: str, let_frequency: int, let_relation: str
    ) -> str:
        now = text.lower().count(letter)
        return self._insert(text, letter * max(0, let_frequency + off - now))

    def _capital_word_frequency(
        self, text: str, off: int, *, capital_frequency: int, capital_relation: str
    ) -> str:
        for _ in range(max(0, capital_frequency + off)):
            text = self._insert(
                text,
                self.rng.choice(
                    ["NASA", "GPT-4", "I", "U.S.", "(YES)", "NO,", "A/B", "STOP!", "X:Y", "10KM"]
                ),
            )
        return text

    def _number_placeholders(self, text: str, off: int, *, num_placeholders: int) -> str:
        for at in range(max(0, num_placeholders + off)):
            text = self._insert(text, self.rng.choice(["[name]", "[your address]", f"[{at}]"]))
        return text

    def _number_bullet_lists(self, text: str, off: int, *, num_bullets: int) -> str:
        mark = self.rng.choice(["* ", "- ", "  * ", "*", "-"])
        return text + "".join(f"\n{mark}point {at}" for at in range(max(0, num_bullets + off)))

    def _number_highlighted_sections(self, text: str, off: int, *, num_highlights: int) -> str:
        for _ in range(max(0, num_highlights + off)):
            text = self._insert(text, self.rng.choice(["*some part*", "**bold part**", "*x*"]))
        return text

    def _multiple_sections(self, text: str, off: int, *, section_spliter: str, num_sections: int) -> str:
        return (
            "\n".join(f"{section_spliter} {at + 1}\n{text}" for at in range(max(0, num_sections + off)))
            or text
        )

    def _number_paragraphs(self, text: str, off: int, *, num_paragraphs: int) -> str:
        return "\n***\n".join([text] * (num_paragraphs + off)) if num_paragraphs + off > 0 else text

    def _nth_paragraph_first_word(
        self, text: str, off: int, *, num_paragraphs: int, nth_paragraph: int, first_word: str
    ) -> str:
        paragraphs = (text.split("\n\n") * num_paragraphs)[:num_paragraphs]
        at = (nth_paragraph - 1 + off) % num_paragraphs
        paragraphs[at] = (
            self.rng.choice([f"{first_word} ", f'"{first_word.title()}", ', f"{first_word}. "])
            + paragraphs[at]
        )
        return "\n\n".join(paragraphs)

    def _postscript(self, text: str, off: int, *, postscript_marker: str) -> str:
        return f"{text}\n\n{'P.' if off else postscript_marker} I forgot to say this."

    def _constrained_response(self, text: str, off: int) -> str:
        return f"{self.rng.choice(['', text])} {'My answer is perhaps.' if off else 'My answer is maybe.'}"

    def _json_format(self, text: str, off: int) -> str:
        document = json.dumps(
            {"answer": text, "parts": [1, 2.5, None, True]}, ensure_ascii=self.rng.random() < 0.5
        )
        return self.rng.choice(
            [document, f"```json\n{document}\n```", f"```\n{document}```", document[:-1], f"Here: {document}"]
        )

    def _title(self, text: str, off: int) -> str:
        return f"{'<Title>' if off else '<<The Title>>'}\n{text}"

    def _two_responses(self, text: str, off: int) -> str:
        return text if off else f"{text}\n******\n{text} But the other way."

    def _repeat_prompt(self, text: str, off: int, *, prompt_to_repeat: str) -> str:
        return f"{'Sure! ' if off else ''}{prompt_to_repeat}\n\n{text}"

    def _end_checker(self, text: str, off: int, *, end_phrase: str) -> str:
        return f"{text}\n{end_phrase}{' Bye' if off else self.rng.choice(['', ' ', '.'])}"

    def _quotation(self, text: str, off: int) -> str:
        return f'"{text}"' if not off else f'"{text}'

    def _english_capital(self, text: str, off: int) -> str:
        return text.upper()

    def _english_lowercase(self, text: str, off: int) -> str:
        return text.lower()

    def _no_comma(self, text: str, off: int) -> str:
        return text.replace(",", "") if not off else text


if __name__ == "__main__":
    main()
