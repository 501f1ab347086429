"""Runs a command with the secrets that files hold: `python -m infra.with_secrets prefect worker start …`.

Containers mount secrets as files, and neither Prefect nor MLflow reads those. Nothing is printed.
"""

import os
import sys

from data_contracts.errors import ServerError
from infra.settings import server_environment_of


def main(command: list[str]) -> None:
    """Become the command. Ends the process with a sentence where a secret cannot be read."""
    try:
        environment = {**os.environ, **server_environment_of(os.environ)}
    except ServerError as error:
        sys.exit(str(error))
    os.execvpe(command[0], command, environment)  # noqa: S606 - the container's own command


if __name__ == "__main__":
    main(sys.argv[1:])
