"""Sample completions for the problems of a JSONL file and score each of them."""

import argparse
import json
from pathlib import Path

import torch
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    GenerationConfig,
    PreTrainedModel,
    PreTrainedTokenizerBase,
    set_seed,
)

from tests.benchmarks.plain.reward import exact_number


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--output", type=Path, required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--samples", type=int, required=True, help="completions per problem")
    parser.add_argument("--temperature", type=float, default=1.0)
    parser.add_argument("--max-new-tokens", type=int, default=40)
    parser.add_argument("--batch-size", type=int, default=512, help="completions generated together")
    return parser


def main() -> None:
    args = make_parser().parse_args()
    set_seed(args.seed)
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    model = AutoModelForCausalLM.from_pretrained(args.model, dtype="float32").eval()
    rows = [json.loads(line) for line in args.data.read_text().splitlines()]
    prompts = [row["prompt"] for row in rows for _ in range(args.samples)]
    texts = iter(
        sample_completions(model, tokenizer, prompts, args.temperature, args.max_new_tokens, args.batch_size)
    )
    with args.output.open("w") as output:
        for row in rows:
            completions = [next(texts) for _ in range(args.samples)]
            rewards = [exact_number(completion, row["ground_truth"]) for completion in completions]
            output.write(json.dumps({**row, "completions": completions, "rewards": rewards}) + "\n")


@torch.inference_mode()
def sample_completions(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    prompts: list[list[dict]],
    temperature: float,
    max_new_tokens: int,
    batch_size: int,
) -> list[str]:
    """One completion per prompt, from the model's own distribution: neither top-k nor top-p."""
    config = GenerationConfig(
        do_sample=True,
        temperature=temperature,
        top_p=1.0,
        top_k=0,
        max_new_tokens=max_new_tokens,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    texts = [
        tokenizer.apply_chat_template(prompt, add_generation_prompt=True, tokenize=False)
        for prompt in prompts
    ]
    completions = []
    for start in range(0, len(texts), batch_size):
        batch = tokenizer(
            texts[start : start + batch_size],
            add_special_tokens=False,
            return_token_type_ids=False,
            return_tensors="pt",
            padding=True,
            padding_side="left",
        )
        output = model.generate(**batch, generation_config=config)
        completions += tokenizer.batch_decode(
            output[:, batch["input_ids"].shape[1] :], skip_special_tokens=True
        )
    return completions


if __name__ == "__main__":
    main()
