"""Which files of a model directory may leave it. An allow-list: trainers leave pickles beside the weights.

The model card is none of them: it is no content, and is written anew when more is known of the model.
"""

from hashlib import file_digest, sha256
from pathlib import Path

from data_contracts.errors import StageError

PUBLISHED_SUFFIXES = (".safetensors", ".json", ".jinja", ".txt", ".model")


def publishable_files(directory: Path) -> list[Path]:
    """The files that may be published, in a fixed order. Raises StageError when no weights are among them."""
    present = sorted(path for path in directory.rglob("*") if path.is_file())
    published = [path for path in present if path.suffix in PUBLISHED_SUFFIXES]
    if not any(path.suffix == ".safetensors" for path in published):
        names = ", ".join(path.relative_to(directory).as_posix() for path in present) or "nothing"
        raise StageError(
            f"{directory} holds no weights that may be published (found {names}).",
            "at least one .safetensors file; pickles (.bin, .pt) run code when they are loaded",
            "Save the model with save_pretrained(..., safe_serialization=True).",
        )
    return published


def content_hash(directory: Path, files: list[Path]) -> str:
    """SHA-256 over names and bytes."""
    digest = sha256()
    for path in files:
        with path.open("rb") as file:
            digest.update(f"{path.relative_to(directory).as_posix()}\0".encode())
            digest.update(file_digest(file, "sha256").digest())
    return digest.hexdigest()
