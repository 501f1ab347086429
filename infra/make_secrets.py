"""Draws the secrets of a team's servers: `python -m infra.make_secrets DIRECTORY`, one file each.

Compose mounts the files; Kubernetes takes them by `kubectl create secret generic burnish --from-file=DIRECTORY`.
What is there already is kept, so a second call changes nothing.
"""

import base64
import json
import os
import secrets
import sys
from pathlib import Path

_DRAWN = ("postgres", "prefect_database", "mlflow_database", "mlflow_admin", "mlflow_key", "s3_secret")
_S3_USER = "burnish"


def make_secrets(folder: Path) -> None:
    """Nobody but its owner may enter the folder; in a container each file is readable by whoever it is given to."""
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    folder.chmod(0o700)
    for name in _DRAWN:
        _keep(folder / name, secrets.token_urlsafe(32))
    _keep(folder / "prefect_auth", f"burnish:{secrets.token_urlsafe(32)}")
    _keep(folder / "prefect_key", base64.urlsafe_b64encode(os.urandom(32)).decode())
    _keep(folder / "s3_identities.json", json.dumps(_s3_identities((folder / "s3_secret").read_text())))


def _s3_identities(secret: str) -> dict[str, object]:
    """Who may use the storage, as SeaweedFS reads it."""
    keys = [{"accessKey": _S3_USER, "secretKey": secret}]
    actions = ["Admin", "Read", "Write", "List"]
    return {"identities": [{"name": _S3_USER, "credentials": keys, "actions": actions}]}


def _keep(path: Path, secret: str) -> None:
    if not path.exists():
        path.touch(mode=0o444)
        path.chmod(0o644)
        path.write_text(secret)
        path.chmod(0o444)


if __name__ == "__main__":
    make_secrets(Path(sys.argv[1]))
