"""The files of `infra/deploy`: what their schemas allow, and what a team's servers must not be without."""

import json
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from configparser import ConfigParser
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from prefect.utilities.templating import apply_values
from ruamel.yaml import YAML

from infra.make_secrets import make_secrets
from infra.settings import SECRETS

ROOT = Path(__file__).parents[1]
DEPLOY = ROOT / "infra" / "deploy"
KUBERNETES_VERSION = "1.33"
_USERS = ("AWS_ACCESS_KEY_ID", "MLFLOW_TRACKING_USERNAME")


def read(path: Path) -> list[Any]:
    return list(YAML(typ="safe").load_all(path))


COMPOSE: dict[str, Any] = read(DEPLOY / "compose.yaml")[0]
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
LASTING = {name: each for name, each in SERVICES.items() if each.get("restart") != "no"}
MANIFESTS = [document for path in sorted((DEPLOY / "kubernetes").glob("*.yaml")) for document in read(path)]
TEMPLATE: dict[str, Any] = json.loads((DEPLOY / "kubernetes" / "gpu-job-template.json").read_text())


def job() -> dict[str, Any]:
    """The job that Prefect's worker makes of the template for one run."""
    defaults = {name: each["default"] for name, each in TEMPLATE["variables"]["properties"].items()}
    given = defaults | {"name": "tiny", "command": "prefect flow-run execute"}
    made = apply_values(TEMPLATE["job_configuration"]["job_manifest"], given)
    container = made["spec"]["template"]["spec"]["containers"][0]
    container["env"], container["args"] = [], container["args"].split()  # as the worker does it
    return made


def pods() -> Iterator[tuple[str, dict[str, Any]]]:
    for manifest in [*MANIFESTS, job()]:
        if "template" in manifest.get("spec", {}):
            yield manifest["metadata"].get("name", "a run"), manifest["spec"]["template"]["spec"]


def settings(container: Mapping[str, Any]) -> dict[str, str]:
    return {each["name"]: each["value"] for each in container.get("env", [])}


def test_the_compose_file_is_one_by_its_specification() -> None:
    vendored = resources.files("check_jsonschema") / "builtin_schemas" / "vendor" / "compose-spec.json"
    jsonschema.validate(COMPOSE, json.loads(vendored.read_text()))


def test_compose_publishes_ports_on_this_machine_only() -> None:
    published = [port for service in SERVICES.values() for port in service.get("ports", [])]
    assert sorted(published) == ["127.0.0.1:4200:4200", "127.0.0.1:5000:5000"]
    assert COMPOSE["networks"]["inside"] == {"internal": True}
    for name in ("postgres", "storage"):
        assert SERVICES[name]["networks"] == ["inside"]


@pytest.mark.parametrize("name", LASTING)
def test_each_server_of_compose_is_watched_and_confined(name: str) -> None:
    service = LASTING[name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert (service["read_only"], service["cap_drop"]) == (True, ["ALL"])
    assert service["security_opt"] == ["no-new-privileges:true"]
    image_user = "10001:10001" if service["image"] == "burnish:cpu" else None
    assert service.get("user", image_user) not in (None, "root", "0", "0:0")


def test_the_one_that_is_root_for_a_moment_has_no_network_and_one_right() -> None:
    roots = {name: each for name, each in SERVICES.items() if each.get("user") == "root"}
    assert list(roots) == ["volumes"]
    assert (roots["volumes"]["network_mode"], roots["volumes"]["cap_add"]) == ("none", ["CHOWN"])


def test_every_image_is_pinned() -> None:
    images = [service["image"] for service in SERVICES.values()]
    images += [container["image"] for _, pod in pods() for container in pod["containers"]]
    images += re.findall(r"^FROM (\S+:\S+)", (DEPLOY / "Dockerfile").read_text(), re.MULTILINE)
    assert images
    for image in set(images) - {"burnish"}:  # kustomization.yaml says which
        assert re.fullmatch(r"[\w./-]+:(?!latest)[\w.-]+", image), image


def test_secrets_come_from_files_that_are_drawn(tmp_path: Path) -> None:
    make_secrets(tmp_path / "secrets")
    drawn = {path.name for path in (tmp_path / "secrets").iterdir()}
    assert {Path(each["file"]).name for each in COMPOSE["secrets"].values()} == drawn
    used: set[str] = set()
    for service in SERVICES.values():
        for name, value in service.get("environment", {}).items():
            assert name not in SECRETS or name in _USERS
            if value.startswith("/run/secrets/"):
                assert name.removesuffix("_FILE") in (*SECRETS, "POSTGRES_PASSWORD")
                used.add(secret := value.removeprefix("/run/secrets/"))
                assert secret in service["secrets"]
    assert used <= drawn
    mounted = {
        item["key"]
        for _, pod in pods()
        for v in pod["volumes"]
        if "secret" in v
        for item in v["secret"]["items"]
    }
    assert mounted <= drawn
    for _, pod in pods():
        for container in pod["containers"]:
            assert not settings(container).keys() & set(SECRETS)
    assert not [manifest for manifest in MANIFESTS if manifest["kind"] == "Secret"]


def test_drawn_secrets_are_kept_and_only_their_owner_may_enter(tmp_path: Path) -> None:
    folder = tmp_path / "secrets"
    make_secrets(folder)
    before = {path.name: path.read_text() for path in folder.iterdir()}
    make_secrets(folder)
    assert {path.name: path.read_text() for path in folder.iterdir()} == before
    assert (folder.stat().st_mode & 0o777, (folder / "postgres").stat().st_mode & 0o777) == (0o700, 0o444)
    assert len(set(before.values())) == len(before)
    assert before["s3_secret"] in before["s3_identities.json"]


def test_both_servers_ask_for_credentials_and_know_their_names() -> None:
    mlflow, prefect = SERVICES["mlflow"], SERVICES["prefect"]
    assert {"--app-name=basic-auth", "--serve-artifacts"} <= set(mlflow["command"])
    assert mlflow["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"]
    assert mlflow["environment"]["MLFLOW_SERVER_CORS_ALLOWED_ORIGINS"]
    assert {"PREFECT_SERVER_API_AUTH_STRING_FILE", "PREFECT_SERVER_CORS_ALLOWED_ORIGINS"} <= set(
        prefect["environment"]
    )
    containers = {name: pod["containers"][0] for name, pod in pods()}
    assert "--app-name=basic-auth" in containers["mlflow"]["args"]
    assert "PREFECT_SERVER_API_AUTH_STRING_FILE" in settings(containers["prefect"])
    (shared,) = [m["data"] for m in MANIFESTS if m["metadata"]["name"] == "settings"]
    assert "*" not in shared["MLFLOW_SERVER_ALLOWED_HOSTS"] + shared["PREFECT_SERVER_CORS_ALLOWED_ORIGINS"]


def test_a_proxys_names_are_added_to_those_that_the_worker_uses() -> None:
    hosts = SERVICES["mlflow"]["environment"]["MLFLOW_SERVER_ALLOWED_HOSTS"]
    replaced = re.sub(r"\$\{MLFLOW_ALLOWED_HOSTS:-[^}]*\}", "mlflow.example", hosts).split(",")
    address = SERVICES["worker"]["environment"]["MLFLOW_TRACKING_URI"].removeprefix("http://")
    assert {address, "localhost:5000", "mlflow.example"} <= set(replaced)


def test_the_pool_of_kubernetes_is_made_from_our_template_and_not_by_whichever_worker_is_first() -> None:
    (worker,) = [pod["containers"][0] for name, pod in pods() if name == "worker"]
    assert "--no-create-pool-if-not-found" in worker["args"]


def test_a_user_whom_nobody_gave_rights_may_not_write() -> None:
    auth = ConfigParser()
    auth.read(DEPLOY / "mlflow" / "basic_auth.ini")
    assert auth["mlflow"]["default_permission"] in ("READ", "NO_PERMISSIONS")
    assert "@" not in auth["mlflow"]["database_uri"]


@pytest.mark.parametrize(
    "manifest", [*MANIFESTS, job()], ids=lambda m: f"{m['kind']}-{m['metadata'].get('name', '')}"
)
def test_each_manifest_is_one_by_kubernetes_schemas(manifest: dict[str, Any]) -> None:
    import kubernetes_validate

    kubernetes_validate.validate(manifest, KUBERNETES_VERSION, strict=True)


@pytest.mark.parametrize(("name", "pod"), pods(), ids=lambda value: value if isinstance(value, str) else "")
def test_each_pod_is_what_the_restricted_standard_allows(name: str, pod: dict[str, Any]) -> None:
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["runAsUser"] > 0
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert name == "worker" or pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        context = container["securityContext"]
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert (context["allowPrivilegeEscalation"], context["readOnlyRootFilesystem"]) == (False, True)
        assert "memory" in container["resources"]["limits"]
        assert name == "a run" or {"startupProbe", "readinessProbe", "livenessProbe"} <= container.keys()


def test_every_pod_is_named_by_a_rule_about_who_may_reach_it() -> None:
    policies = [m["spec"] for m in MANIFESTS if m["kind"] == "NetworkPolicy"]
    assert {"podSelector": {}, "policyTypes": ["Ingress"]} in policies
    services = {m["metadata"]["name"] for m in MANIFESTS if m["kind"] == "Service"}
    ruled = {spec["podSelector"]["matchLabels"]["app"] for spec in policies if spec["podSelector"]}
    assert services == ruled == {"postgres", "mlflow", "prefect"}


def test_names_in_the_manifests_are_names_of_something() -> None:
    (kustomization,) = read(DEPLOY / "kustomization.yaml")
    assert sorted(kustomization["resources"]) == [
        f"kubernetes/{p.name}" for p in sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    ]
    (generated,) = kustomization["configMapGenerator"]
    maps = {m["metadata"]["name"]: set(m["data"]) for m in MANIFESTS if m["kind"] == "ConfigMap"}
    maps[generated["name"]] = {Path(file).name for file in generated["files"]}
    assert all((DEPLOY / file).is_file() for file in generated["files"])
    claims = {m["metadata"]["name"] for m in MANIFESTS if m["kind"] == "PersistentVolumeClaim"}
    for _, pod in pods():
        volumes = {volume["name"]: volume for volume in pod["volumes"]}
        for container in pod["containers"]:
            own = {"data"} if container["name"] == "postgres" else set[str]()  # of its StatefulSet
            assert {mount["name"] for mount in container["volumeMounts"]} <= volumes.keys() | own
            assert {each["configMapRef"]["name"] for each in container.get("envFrom", [])} <= maps.keys()
        for volume in volumes.values():
            if given := volume.get("configMap"):
                assert {item["key"] for item in given["items"]} <= maps[given["name"]]
            if claim := volume.get("persistentVolumeClaim"):
                assert claim["claimName"] in claims


def test_the_job_of_a_run_has_a_gpu_the_home_alone_and_time_for_a_checkpoint() -> None:
    pod = job()["spec"]["template"]["spec"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["terminationGracePeriodSeconds"] == 120
    (home,) = [m for m in MANIFESTS if m["metadata"]["name"] == "home"]
    assert home["spec"]["accessModes"] == ["ReadWriteOncePod"]


def test_the_worker_hands_jobs_its_credentials_by_reference() -> None:
    """Prefect's worker writes them into every job's manifest unless it is told which secret holds them."""
    (worker,) = [pod["containers"][0] for name, pod in pods() if name == "worker"]
    prefix = "PREFECT_INTEGRATIONS_KUBERNETES_WORKER_API_AUTH_STRING_SECRET_"
    given = {
        name.removeprefix(prefix): value
        for name, value in settings(worker).items()
        if name.startswith(prefix)
    }
    assert given == {"NAME": "burnish", "KEY": "prefect_auth"}


def test_hadolint_has_nothing_to_say_about_the_dockerfile() -> None:
    hadolint = Path(sys.executable).with_name("hadolint")
    done = subprocess.run([hadolint, DEPLOY / "Dockerfile"], capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, "")


@pytest.mark.parametrize("target", ["cpu", "cuda"])
def test_an_image_runs_as_nobody_special_and_reads_secrets_from_files(target: str) -> None:
    text = (DEPLOY / "Dockerfile").read_text()
    stage = text.split(f" AS {target}\n")[1].split("\nFROM ")[0]
    assert re.findall(r"^USER (.*)$", stage, re.MULTILINE) == ["10001:10001"]
    assert 'ENTRYPOINT ["python", "-m", "infra.with_secrets"]' in stage
    assert "--constraint infra/constraints.txt" in stage


def test_an_image_is_made_of_named_parts_only() -> None:
    lines = [
        line for line in (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines() if line[0] not in "#*"
    ]
    kept = {line[1:] for line in lines if line.startswith("!")}
    assert {"flows", "stages", "infra", "data_contracts", "pyproject.toml"} <= kept
    assert all((ROOT / name).exists() for name in kept)
    assert "infra/deploy" in lines
