"""Model cards: what they say is what the ledger has, foreign text does nothing in them, MLflow shows them."""

import os
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import mlflow.artifacts
import pyarrow as pa
import pytest
from huggingface_hub import ModelCard
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from mlflow.tracking import MlflowClient

from data_contracts.rows import RowKind
from flows.card_view import one_line
from flows.doctor.checkup import examine
from flows.promoting import soundness
from flows.promoting.candidates import find_execution
from flows.promoting.card import Card, make_card
from flows.promoting.card_metadata import front_matter
from flows.promoting.markdown import code
from flows.promoting.why import Explanation, Rows
from infra import records as states
from infra.home import Home
from infra.ledger import Ledger
from infra.records import Execution, Input, Withdrawal
from infra.registry_cards import MAX_DESCRIPTION
from infra.warehouse.committing import Origin
from infra.warehouse.warehouse import Warehouse
from stages import checkpoint
from tests.promoting.conftest import Burnish
from tests.promoting.judged_home import MODEL

HOSTILE = "`x` ``` <script>alert(1)</script>\n---\nlicense: mit\n# Heading\n![p](http://e/p) | [l](http://e)\u202e\x1b[2J"
COMMONMARK = MarkdownIt().enable("table")


def made(ledger: Ledger, version: int) -> Execution:
    found = find_execution(ledger, MODEL, version)
    assert found is not None
    return found


def card_of(home: Home, ledger: Ledger, version: int) -> Card:
    return make_card(home, ledger, Warehouse(home), made(ledger, version))


def in_mlflow(home: Home, version: int) -> tuple[str, str]:
    """Description and README.md of a version, as MLflow has them."""
    client = MlflowClient(home.mlflow_uri)
    folder = Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/{version}"))
    return str(client.get_model_version(MODEL, str(version)).description), (folder / "README.md").read_text()


def test_a_card_says_what_the_ledger_has(home: Home, ledger: Ledger) -> None:
    card = card_of(home, ledger, 4)
    read = ModelCard(card.text)
    assert read.text.strip() == card.body.strip()
    assert read.data.to_dict() == {
        "license": "other",
        "datasets": ["small.worked"],
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "tags": ["burnish", "sft"],
        "model-index": [
            {
                "name": "small.sft/4",
                "results": [
                    {
                        "task": {"type": "text-generation"},
                        "dataset": {"name": "small.held_out@1", "type": "small.held_out"},
                        "metrics": [
                            {
                                "type": "accuracy",
                                "value": 0.95,
                                "name": "verified accuracy",
                                "args": {"seed": 7, "samples": 1, "temperature": 0.0},
                            }
                        ],
                    }
                ],
            }
        ],
    }
    for part in (
        "**Verified accuracy 95.0%**, 95 % interval [85.0%, 105.0%] (Wilson), of 40 completions on 40 problems.",
        "`samples 1`, `temperature 0.0`",
        'download_artifacts("models:/small.sft/4")',
        f"Content `{made(ledger, 4).fingerprint}`",
        "- `small.sft/4` (sft) from `small.base/1`, `small.worked@1`: `seed 7`, `learning_rate 0.01`, `steps 2`",
        "- `small.worked@1`: 2 rows, content ",
        "- `small.held_out@1`: rows gone from this home, for evaluation alone",
        "- `exact_match`, code `code-of-exact-match`",
    ):
        assert part in card.text
    assert os.uname().nodename not in card.text


def test_a_card_is_the_same_wherever_the_clock_of_its_reader_stands(
    home: Home, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    cards = set[str]()
    for zone in ("UTC", "Asia/Tokyo", "America/Lima"):
        monkeypatch.setenv("TZ", zone)
        time.tzset()
        cards.add(card_of(home, ledger, 1).text)
    monkeypatch.undo()
    time.tzset()
    assert len(cards) == 1


def test_a_card_stays_as_it_is_when_another_recipe_reuses_its_model(home: Home, ledger: Ledger) -> None:
    before, base = card_of(home, ledger, 1).text, made(ledger, 1)
    run = ledger.begin_run(base.pipeline, {"name": base.pipeline, "seed": 8}, os.getpid(), 0.0)
    ledger.set_stage(run, base.stage, base.kind, base.key, states.REUSED)
    assert card_of(home, ledger, 1).text == before


def test_a_card_says_who_decided_and_what_the_gate_found(
    home: Home, ledger: Ledger, burnish: Burnish
) -> None:
    burnish("promote", "small.sft/1", "--reason", "first")
    assert burnish("promote", "small.sft/2").code == 0
    assert burnish("promote", "small.sft/3").code == 1
    first, second, third = (card_of(home, ledger, number).body for number in (1, 2, 3))
    assert "It was the champion: promote by " in first
    assert ", because `first`." in first
    assert "It is the champion: promote by " in second
    assert "Gate passed: `" in second
    assert "It never was the champion." in third
    assert "Gate refused: `" in third
    assert ledger.decisions(MODEL)[0].evidence["gate"]["sentence"] in third


@settings(derandomize=True, max_examples=300)
@given(
    st.text(st.one_of(st.sampled_from("`\\|<>[]()!*_~#&- \n\t\x00\u202e\u2028"), st.characters()), min_size=1)
)
def test_in_markdown_foreign_text_is_one_code_span_and_says_the_same(text: str) -> None:
    tokens = COMMONMARK.parse(f"- before {code(text)} after")
    inline = [token for token in tokens if token.type == "inline"]
    assert [token.type for token in tokens if token.type.endswith("_open")] == [
        *("bullet_list_open", "list_item_open", "paragraph_open")
    ]
    assert [child.type for child in inline[0].children or []] == ["text", "code_inline", "text"]
    assert (inline[0].children or [])[1].content.strip() == one_line(text).strip()


def test_hostile_reasons_change_neither_front_matter_nor_structure(
    home: Home, ledger: Ledger, burnish: Burnish
) -> None:
    burnish("promote", "small.sft/1", "--reason", "kind")
    kind = card_of(home, ledger, 1)
    burnish("promote", "small.sft/2", "--reason", HOSTILE)
    burnish("rollback", "small.sft", "--to", "1", "--reason", HOSTILE)
    hostile = card_of(home, ledger, 1)
    assert ModelCard(hostile.text).data.to_dict() == ModelCard(kind.text).data.to_dict()
    rendered = COMMONMARK.render(hostile.body)
    assert "alert(1)" in rendered
    assert [tag for tag in ("<script", "<img", "<a ", "<h1>Heading") if tag in rendered] == []
    assert rendered.count("<h2>") == COMMONMARK.render(kind.body).count("<h2>")
    shown = burnish("card", "small.sft/1").out
    assert "\x1b" not in shown
    assert "\u202e" not in shown


def _explanation(*licences: tuple[str, ...]) -> Explanation:
    datasets = tuple(
        Rows(reference=f"rows{n}@1", fingerprint="", rows=1, licences=each) for n, each in enumerate(licences)
    )
    return Explanation(
        model="m/1", fingerprint="", decided=None, evaluated=None, stages=(), datasets=datasets, verifiers={}
    )


@pytest.mark.parametrize(
    ("base", "licences", "expected"),
    [
        ({"build": "tiny-qwen3"}, (("MIT",), ("mit",)), ("mit", None)),
        ({"build": "tiny-qwen3"}, (("MIT",), ("apache-2.0",)), ("other", "apache-2.0, mit")),
        ({"build": "tiny-qwen3"}, (("MIT",), ()), ("other", None)),
        ({"build": "tiny-qwen3"}, (("ask\n---\nme first",),), ("other", "ask --- me first")),
        ({"model": "owner/base", "revision": "abc"}, (("MIT",),), ("other", None)),
        ({}, (("MIT",),), ("other", None)),
    ],
)
def test_a_licence_is_claimed_only_where_base_and_all_rows_tell_the_same(
    ledger: Ledger,
    base: dict[str, str],
    licences: tuple[tuple[str, ...], ...],
    expected: tuple[str, str | None],
) -> None:
    sft = made(ledger, 1)
    given = tuple(Input("", "rows", f"rows{n}", 1, "", 1.0) for n in range(len(licences)))
    behind = [replace(sft, inputs=given), replace(sft, kind="base", identity={"config": base}, inputs=())]
    origins: dict[str, Any] = {
        f"rows{n}@1": {"options": {"licence": "".join(each)}} for n, each in enumerate(licences)
    }
    text = front_matter(_explanation(*licences), behind, None, "model", origins)
    read = ModelCard(f"{text}\n\nbody").data
    assert (read.get("license"), read.get("license_name")) == expected
    assert read.get("base_model") == base.get("model")


def test_rows_that_were_mixed_from_untold_ones_claim_no_licence(home: Home, ledger: Ledger) -> None:
    origins: dict[str, Any] = {
        "rows0@1": {"parents": {"told@1": "", "untold@1": ""}},
        "told@1": {"options": {"licence": "mit"}},
        "untold@1": {},
    }
    sft = made(ledger, 1)
    rows = Input("", "rows", "rows0", 1, "", 1.0)
    base = replace(sft, kind="base", identity={"config": {"build": "tiny-qwen3"}}, inputs=())
    text = front_matter(_explanation(("mit",)), [replace(sft, inputs=(rows,)), base], None, "model", origins)
    assert ModelCard(f"{text}\n\nbody").data.get("license") == "other"


# In MLflow


def test_a_promotion_and_a_rollback_renew_the_cards_of_both_versions(
    home: Home, ledger: Ledger, burnish: Burnish
) -> None:
    burnish("promote", "small.sft/1")
    burnish("promote", "small.sft/2")
    assert ["It is the champion" in in_mlflow(home, number)[0] for number in (1, 2)] == [False, True]
    burnish("rollback", "small.sft")
    assert ["It is the champion" in in_mlflow(home, number)[0] for number in (1, 2)] == [True, False]
    for number in (1, 2):
        card = card_of(home, ledger, number)
        assert in_mlflow(home, number) == (card.shortened(MAX_DESCRIPTION), card.text)


def test_a_card_is_no_content_of_its_model(
    home: Home, burnish: Burnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    burnish("promote", "small.sft/1")
    burnish("promote", "small.sft/2")

    def unread(path: Path) -> str:
        raise AssertionError(f"{path} is read again, which takes seconds in a rollback")

    monkeypatch.setattr(checkpoint, "fingerprint_model", unread)
    assert burnish("rollback", "small.sft").code == 0
    assert (
        soundness.remembered_fingerprint(
            Ledger(home.ledger_path), Path(mlflow.artifacts.download_artifacts(f"models:/{MODEL}/1"))
        )
        == made(Ledger(home.ledger_path), 1).fingerprint
    )


def test_storage_that_takes_no_card_holds_up_no_promotion_and_the_doctor_writes_it_later(
    home: Home, burnish: Burnish, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*given: object) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(MlflowClient, "log_model_artifact", full)
        done = burnish("promote", "small.sft/1")
    assert done.code == 0
    assert "MLflow did not take the card of small.sft/1: [Errno 28] No space left on device" in done.text
    assert "MLflow's card of small.sft/1 is not the ledger's." in _faults(home, fix=False)
    assert _faults(home, fix=True) == []
    assert "It is the champion" in in_mlflow(home, 1)[0]


def _faults(home: Home, *, fix: bool) -> list[str]:
    reports = examine(home.path, is_deep=True, fix=fix)
    return [
        each.found
        for report in reports
        for each in report.findings
        if not each.is_note and "card" in each.found
    ]


def test_a_card_that_is_too_long_for_mlflow_is_cut_between_sections() -> None:
    sections = tuple(f"## {n}\n\n- {'x' * 990}" for n in range(10))
    card = Card("---\na: b\n---", sections)
    short = card.shortened(MAX_DESCRIPTION)
    assert len(short) <= MAX_DESCRIPTION
    assert short == "\n\n".join(sections[:4]) + "\n\nThe rest is in README.md beside the weights.\n"
    assert Card("", sections[:2]).shortened(MAX_DESCRIPTION) == "\n\n".join(sections[:2]) + "\n"


# The command


def test_the_command_prints_the_card_with_what_there_is_to_say_of_the_rows(
    home: Home, burnish: Burnish
) -> None:
    raw = burnish("card", "small.sft/4", "--raw").out
    assert raw.startswith("---\n")
    assert ModelCard(raw).data.to_dict()["library_name"] == "transformers"
    assert "- sft rows, 8 bytes of text; 1 repeat an earlier row, 1 an earlier prompt" in raw
    shown = burnish("card", "small.sft/4").text
    assert "Verified accuracy 95.0%" in shown
    assert "**" not in shown
    assert burnish("card", "small.nothing").code == 2


def test_a_card_names_the_origin_of_rows_and_warns_of_withdrawn_ones(home: Home, ledger: Ledger) -> None:
    told = {"source": "rows.jsonl", "options": {"licence": "MIT", "origin": f"https://e {HOSTILE}"}}
    message = [{"role": "user", "content": "1+1"}, {"role": "assistant", "content": "2"}]
    with Warehouse(home).publisher("own", RowKind.sft) as publisher:
        publisher.add(pa.table({"messages": [message]}))
        published = publisher.publish(Origin(document=told)).version
    sft = made(ledger, 4)
    rows = Input("own", "rows", "own", 1, published.fingerprint, 1.0)
    ledger.record(replace(sft, version=6, key="key-6", inputs=(rows,)))
    gone = Withdrawal(1.0, "source forum", "forum", b"", "ann", HOSTILE, (), (f"{MODEL}/6",))
    ledger.withdraw(gone)
    body = card_of(home, ledger, 6).body
    assert "`own@1`: 1 rows, " in body
    assert ", licence `MIT`, from " in body
    assert "**It saw rows that were withdrawn since:** `source forum`, because " in body
    assert "<script" not in COMMONMARK.render(body)
