"""Who decides: the person at the terminal, or whatever a container runs as."""

import getpass
import os


def actor() -> str:
    """The name in the environment or the password database; `uid 1000` for one without, as containers often are."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # OSError from Python 3.13 on
        return f"uid {os.getuid()}"
