"""Environment variables every process of a run needs before its first heavy import."""

from collections.abc import Mapping

from infra.home import Home
from infra.servers import running_servers, server_environment
from infra.settings import server_environment_of


def run_environment(
    home: Home, inherited: Mapping[str, str], *, needs_hub: bool, prefect_console: str = "CRITICAL"
) -> dict[str, str]:
    """What a run adds to its inherited environment: everything of this home, or of the servers it is joined to."""
    added = server_environment(home.path) | {
        "BURNISH_HOME": str(home.path),
        # OpenMP threads that wait by spinning take the cores from whoever works: ten times slower with two
        # busy processes on two cores. GNU's may spin for some microseconds: not at all is slower alone.
        "OMP_WAIT_POLICY": "PASSIVE",
        "GOMP_SPINCOUNT": "1000",
        "TOKENIZERS_PARALLELISM": "false",
        "TORCHINDUCTOR_CACHE_DIR": str(home.path / "cache" / "torchinductor"),  # made by its mere import
        "HF_HUB_DISABLE_TELEMETRY": "1",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        # The terminal shows progress; Prefect's lines go to its server.
        "PREFECT_LOGGING_HANDLERS_CONSOLE_LEVEL": prefect_console,
        "PREFECT_LOGGING_EXTRA_LOGGERS": "burnish",
        "PREFECT_CLI_PROMPT": "false",
    }
    if not needs_hub:
        added |= {"HF_HUB_OFFLINE": "1", "HF_DATASETS_OFFLINE": "1"}
    added |= server_environment_of(inherited)
    servers = running_servers(home.path)
    if servers is not None and "PREFECT_API_URL" not in inherited:
        added["PREFECT_API_URL"] = servers.prefect_api_url
    return added
