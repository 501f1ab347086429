"""Length-normalized DPO on preference pairs."""

import argparse

from datasets import load_dataset
from transformers import AutoModelForCausalLM, AutoTokenizer
from trl import DPOConfig, DPOTrainer


def make_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--model", required=True)
    parser.add_argument("--data", required=True)
    parser.add_argument("--output", required=True)
    parser.add_argument("--seed", type=int, required=True)
    parser.add_argument("--beta", type=float, default=5.0)
    parser.add_argument("--epochs", type=float, default=1)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--warmup-steps", type=int, default=5)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--max-length", type=int, default=64)
    return parser


def make_config(args: argparse.Namespace) -> DPOConfig:
    return DPOConfig(
        output_dir=args.output,
        seed=args.seed,
        loss_type=["sigmoid_norm"],
        beta=args.beta,
        precompute_ref_log_probs=True,
        num_train_epochs=args.epochs,
        per_device_train_batch_size=args.batch_size,
        learning_rate=args.learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=args.warmup_steps,
        adam_beta2=0.99,
        max_length=args.max_length,
        use_cpu=True,
        bf16=False,
        gradient_checkpointing=False,
        dataloader_pin_memory=False,
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
    )


def main() -> None:
    args = make_parser().parse_args()
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(args.model, dtype="float32"),
        processing_class=AutoTokenizer.from_pretrained(args.model),
        train_dataset=load_dataset("json", data_files=args.data, split="train"),
        args=make_config(args),
    )
    trainer.train()
    trainer.save_model(args.output)


if __name__ == "__main__":
    main()
