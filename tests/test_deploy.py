"""The files in `deploy/` are valid for Compose, Kubernetes and NATS by their own schemas; nothing is run.

Compose's schema comes with `check-jsonschema`; the types of Kubernetes with `lightkube-models`, which is
generated from its OpenAPI description: a manifest that stays the same when it is converted to those types
and back has no field that is unknown, missing or of another type.
"""

from __future__ import annotations

import importlib
import subprocess
import sys
from importlib import resources
from pathlib import Path
from typing import Any

import jsonschema
import msgspec
import pytest
from jsonschema.validators import validator_for

from tailrace import config
from tailrace.assembly import stores
from tailrace.log.stores.nats.driver import installation

DEPLOY = Path(__file__).parents[1] / "deploy"
SERVER = Path(sys.executable).parent / "nats-server"
COPIES = {"nats": 3, "api": 2, "worker": 2}


def documents() -> list[dict[str, Any]]:
    """Every Kubernetes object."""
    yaml = pytest.importorskip("yaml")
    files = sorted((DEPLOY / "kubernetes").glob("*.yaml"))
    return [each for file in files for each in yaml.safe_load_all(file.read_text(encoding="utf-8"))]


def named(kind: str) -> dict[str, dict[str, Any]]:
    return {each["metadata"]["name"]: each for each in documents() if each["kind"] == kind}


def compose() -> dict[str, Any]:
    yaml = pytest.importorskip("yaml")
    found: dict[str, Any] = yaml.safe_load(
        (DEPLOY / "docker-compose.yaml").read_text(encoding="utf-8")
    )
    return found


def test_compose_fits_its_schema() -> None:
    vendor = pytest.importorskip("check_jsonschema.builtin_schemas", reason="run `make test`")
    schema = msgspec.json.decode(
        (resources.files(vendor) / "vendor" / "compose-spec.json").read_bytes()
    )
    validator = validator_for(schema)(schema)
    validator.validate(compose())
    broken = compose()
    broken["services"]["api-0"]["port"] = 1
    with pytest.raises(jsonschema.ValidationError):
        validator.validate(broken)


def kubernetes_type(document: dict[str, Any]) -> Any:
    """The type of an object, as its description has it."""
    pytest.importorskip("lightkube.models", reason="run `make test`")
    group, _, version = document["apiVersion"].rpartition("/")
    group = group.removesuffix(".k8s.io") or "core"
    return getattr(importlib.import_module(f"lightkube.models.{group}_{version}"), document["kind"])


def check(document: dict[str, Any]) -> None:
    """Raises `ValidationError` for a value that does not fit, and `AssertionError` for an unknown field."""
    found = msgspec.convert(document, kubernetes_type(document))
    assert without_none(msgspec.to_builtins(found)) == document


def without_none(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: without_none(each) for key, each in value.items() if each is not None}
    return [without_none(each) for each in value] if isinstance(value, list) else value


@pytest.mark.parametrize("number", range(len(documents())))
def test_each_kubernetes_object_fits_its_type(number: int) -> None:
    check(documents()[number])


def test_a_manifest_with_a_wrong_field_does_not_fit() -> None:
    deployment = named("Deployment")["api"]
    deployment["spec"]["template"]["spec"]["containers"][0]["readinesProbe"] = {}
    with pytest.raises(AssertionError):
        check(deployment)
    deployment = named("Deployment")["api"]
    deployment["spec"]["replicas"] = "two"
    with pytest.raises(msgspec.ValidationError):
        check(deployment)
    del (deployment := named("Deployment")["api"])["spec"]["selector"]
    with pytest.raises(msgspec.ValidationError):
        check(deployment)


def test_what_selects_finds_its_pods() -> None:
    workloads = {**named("Deployment"), **named("StatefulSet")}
    assert {name: each["spec"]["replicas"] for name, each in workloads.items()} == COPIES
    pods = {name: each["spec"]["template"] for name, each in workloads.items()}
    for name, each in workloads.items():
        assert each["spec"]["selector"]["matchLabels"] == pods[name]["metadata"]["labels"]
        budget = named("PodDisruptionBudget")[name]["spec"]
        assert budget["selector"] == each["spec"]["selector"]
    for name, service in named("Service").items():
        pod = pods["nats" if name == "nats" else "api"]
        assert service["spec"]["selector"].items() <= pod["metadata"]["labels"].items()
        ports = {
            port["name"]: port["containerPort"] for port in pod["spec"]["containers"][0]["ports"]
        }
        for port in service["spec"]["ports"]:
            assert port.get("targetPort", port["port"]) in {*ports, *ports.values()}
    for pod in pods.values():
        (container,) = pod["spec"]["containers"]
        names = {port["name"] for port in container["ports"]}
        for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
            assert container[probe]["httpGet"]["port"] in names
        for volume in pod["spec"]["volumes"]:
            assert "configMap" not in volume or volume["configMap"]["name"] in named("ConfigMap")


def test_compose_has_the_same_shape() -> None:
    services = compose()["services"]
    for name, copies in COPIES.items():
        assert sum(each.startswith(f"{name}-") for each in services) == copies
    for name, service in services.items():
        assert set(service.get("depends_on", ())) <= set(services)
        if name.startswith(("api", "worker")):
            assert service["command"][-2:] == ["--role", name.split("-")[0]]


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_nats_takes_its_configuration(where: str, tmp_path: Path) -> None:
    text = (DEPLOY / "nats.conf").read_text(encoding="utf-8")
    if where == "kubernetes":
        text = named("ConfigMap")["nats"]["data"]["nats.conf"]
    file = tmp_path / "nats.conf"
    file.write_text(text, encoding="utf-8")
    done = subprocess.run(
        [SERVER, "-t", "-c", file], env={"SERVER_NAME": "nats-0"}, capture_output=True, check=False
    )
    assert done.returncode == 0, done.stderr
    for must in ("sync_interval: always", "max_payload: 8MB"):
        assert must in text


@pytest.mark.parametrize("where", ["compose", "kubernetes"])
def test_the_configuration_leads_to_the_three_servers(where: str, tmp_path: Path) -> None:
    text = (DEPLOY / "tailrace.toml").read_text(encoding="utf-8")
    if where == "kubernetes":
        text = named("ConfigMap")["tailrace"]["data"]["tailrace.toml"]
    (tmp_path / "tailrace.toml").write_text(text, encoding="utf-8")
    found = config.load(tmp_path / "tailrace.toml")
    servers, layout = installation(stores.settings(found, tmp_path))
    suffix = ".nats" if where == "kubernetes" else ""
    assert servers == [f"nats://nats-{number}{suffix}:4222" for number in range(3)]
    assert layout.replicas == 3
