"""The manifests of deploy/kubernetes: against schemas, and against what the code does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from controller.on_ray.hosts import HOST_LABEL
from controller.verbs.control import socket_path
from statmux.main import command
from statmux.options import Choices
from tests.deploy.chart import KINDS, MANIFESTS, NO_HELM, committed, has_helm, manifest, of_kind
from tests.deploy.checking import check, container, mounted_files, pods, words_of
from vocabulary.deployment import Deployment, GrpcEndpoint, HttpEndpoint, MetricsEndpoint
from vocabulary.exposure import check_exposure
from vocabulary.formats.disk import load_deployment

PORTS = {"http": HttpEndpoint().port, "grpc": GrpcEndpoint().port, "prom": MetricsEndpoint().port}
# What grpc.health.v1 of a fleet knows without a model's name.
HEALTH_SERVICES = {"", "liveness"}


@pytest.fixture(params=KINDS)
def objects(request: pytest.FixtureRequest) -> list[dict[str, Any]]:
    return committed(request.param)


@pytest.fixture
def cluster(objects: list[dict[str, Any]]) -> dict[str, Any]:
    (found,) = of_kind(objects, "RayCluster")
    return found


@pytest.fixture
def head(cluster: dict[str, Any]) -> dict[str, Any]:
    return pods(cluster)[0]


@pytest.fixture
def deployment(objects: list[dict[str, Any]], head: dict[str, Any], tmp_path: Path) -> Deployment:
    """As `statmux validate` reads it, from files as the pod has them."""
    (config,) = [one for one in of_kind(objects, "ConfigMap") if "deployment.yaml" in one["data"]]
    for path, text in mounted_files(head, config["data"]).items():
        file = tmp_path / path
        file.parent.mkdir(exist_ok=True)
        file.write_text(text)
    return load_deployment(tmp_path / "deployment.yaml")


@pytest.mark.parametrize("kind", KINDS)
def test_manifests_are_what_the_chart_gives(kind: str) -> None:
    if not has_helm():
        pytest.skip(NO_HELM)
    assert (MANIFESTS / f"{kind}.yaml").read_text() == manifest(kind)


def test_every_object_fits_its_schema(objects: list[dict[str, Any]]) -> None:
    for one in objects:
        check(one)


def test_the_deployment_is_valid_and_its_hosts_are_the_pods(
    deployment: Deployment, cluster: dict[str, Any]
) -> None:
    hosts = [f"{node.name}-{index}" for node in deployment.cluster.nodes for index in range(node.count)]
    groups = cluster["spec"]["workerGroupSpecs"]
    assert len(hosts) == sum(group["replicas"] * group["numOfHosts"] for group in groups)
    labels = [group["labels"][HOST_LABEL] for group in groups if "labels" in group]
    assert labels == (hosts if all(group["numOfHosts"] == 1 for group in groups) else [])


def test_each_pod_offers_the_devices_of_its_host(deployment: Deployment, cluster: dict[str, Any]) -> None:
    for node, group in zip(deployment.cluster.nodes, cluster["spec"]["workerGroupSpecs"], strict=False):
        limits = group["template"]["spec"]["containers"][0]["resources"]["limits"]
        virtual = int(group["rayStartParams"]["num-cpus"])
        counted = limits.get("nvidia.com/gpu") or limits.get("google.com/tpu") or virtual
        assert int(counted) == node.devices_per_host
        assert (virtual > 0) == (node.device_type == "cpu")
    assert cluster["spec"]["headGroupSpec"]["rayStartParams"]["num-cpus"] == "0"


def test_serve_does_not_refuse_it_for_what_others_can_reach(
    deployment: Deployment, head: dict[str, Any]
) -> None:
    arguments = container(head, "statmux")["args"]
    check_exposure(deployment, insecure="--insecure" in arguments)


def test_the_command_line_is_one_that_the_parser_takes(head: dict[str, Any]) -> None:
    statmux = container(head, "statmux")
    program, verb, *rest = statmux["command"] + statmux["args"]
    assert program == "statmux"
    parser = command().get_command(None, verb)
    assert parser.make_context(verb, [*rest, "--dry-run"], obj=Choices()).params["wait"] > 0


def test_ports_are_those_of_the_code_and_of_the_services(
    objects: list[dict[str, Any]], head: dict[str, Any], deployment: Deployment
) -> None:
    ports = {each["name"]: each["containerPort"] for each in container(head, "statmux")["ports"]}
    assert ports == PORTS
    assert ports == {
        "http": deployment.http.port,
        "grpc": deployment.grpc.port,
        "prom": deployment.metrics.port,
    }
    served = {
        port["targetPort"]: port["port"]
        for one in of_kind(objects, "Service")
        for port in one["spec"]["ports"]
    }
    assert served == ports


def test_probes_ask_what_is_answered(head: dict[str, Any], deployment: Deployment) -> None:
    """Probes of Kubernetes speak gRPC without TLS only, and show no certificate over HTTP."""
    statmux = container(head, "statmux")
    for name in ("startupProbe", "readinessProbe", "livenessProbe"):
        probe = statmux[name]
        if deployment.security.tls is None:
            assert probe["grpc"]["port"] == PORTS["grpc"]
            assert probe["grpc"].get("service", "") in HEALTH_SERVICES
            assert ("service" in probe["grpc"]) == (name != "readinessProbe")
        elif deployment.security.asks_for_certificates:
            assert probe["exec"]["command"][:2] == ["statmux", "status"]
        else:
            path = "/readyz" if name == "readinessProbe" else "/livez"
            assert probe["httpGet"] == {"path": path, "port": "http", "scheme": "HTTPS"}


def test_workers_find_the_head_before_it_is_ready_which_it_is_when_they_are_there(
    cluster: dict[str, Any],
) -> None:
    service = cluster["spec"]["headGroupSpec"]["headService"]["spec"]
    assert service == {"clusterIP": "None", "publishNotReadyAddresses": True}


def test_rays_store_fits_into_shared_memory(cluster: dict[str, Any]) -> None:
    spec = cluster["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        (shared,) = [each for each in group["template"]["spec"]["volumes"] if each["name"] == "shm"]
        size_bytes = int(shared["emptyDir"]["sizeLimit"].removesuffix("Gi")) * 2**30
        assert int(group["rayStartParams"]["object-store-memory"]) < size_bytes


def test_pods_live_long_enough_to_drain(cluster: dict[str, Any], deployment: Deployment) -> None:
    drain = deployment.drain
    needed_s = drain.readiness_lead_s + drain.graceful_shutdown_timeout_s
    for pod in pods(cluster):
        assert pod["terminationGracePeriodSeconds"] >= needed_s + 10
    for pod in pods(cluster)[1:]:
        (worker,) = pod["containers"]
        assert worker["lifecycle"]["preStop"]["exec"]["command"] == ["sleep", f"{needed_s:g}"]


def test_ray_on_the_head_waits_for_the_controllers_socket_to_go(
    head: dict[str, Any], deployment: Deployment
) -> None:
    ray, statmux = container(head, "ray-head"), container(head, "statmux")
    (_, _, script) = ray["lifecycle"]["preStop"]["exec"]["command"]
    assert f"{statmux['workingDir']}/{socket_path(deployment.name)} " in script
    mounts = [{each["name"]: each["mountPath"] for each in one["volumeMounts"]} for one in (ray, statmux)]
    assert all(mounts[0][name] == mounts[1][name] for name in ("tmp", "shm", "state"))
    assert head["shareProcessNamespace"], "Ray lets nobody join that does not see its raylet"


def test_every_mount_has_its_volume_and_secrets_are_files(
    cluster: dict[str, Any], deployment: Deployment
) -> None:
    for pod in pods(cluster):
        volumes = {each["name"] for each in pod["volumes"]}
        assert {each["name"] for one in pod["containers"] for each in one["volumeMounts"]} == volumes
    paths = [each["mountPath"] for each in container(pods(cluster)[0], "statmux")["volumeMounts"]]
    security = deployment.security
    files = [token.secret_file or "" for token in security.tokens]
    if security.tls is not None:
        files += [security.tls.certificate, security.tls.key]
    assert files
    assert all(any(file.startswith(f"{path}/") for path in paths) for file in files)


def test_nobody_is_root_and_nothing_can_be_written_but_volumes(cluster: dict[str, Any]) -> None:
    for pod in pods(cluster):
        assert pod["securityContext"]["runAsNonRoot"]
        assert not pod["automountServiceAccountToken"]
        for one in pod["containers"]:
            context = one["securityContext"]
            assert context["readOnlyRootFilesystem"] and not context["allowPrivilegeEscalation"]
            assert context["capabilities"] == {"drop": ["ALL"]}


def test_images_have_tags_that_stay(cluster: dict[str, Any]) -> None:
    images = [one["image"] for pod in pods(cluster) for one in pod["containers"]]
    assert all(":" in image and not image.endswith(":latest") for image in images)


def test_rays_token_is_asked_for_and_reaches_the_controller(cluster: dict[str, Any]) -> None:
    environment = {each["name"]: each for each in container(pods(cluster)[0], "statmux")["env"]}
    assert cluster["spec"]["authOptions"] == {"mode": "token"}
    assert environment["RAY_AUTH_MODE"]["value"] == "token"
    reference = environment["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"]
    assert reference == {"name": cluster["metadata"]["name"], "key": "auth_token"}


def test_budgets_count_pods_since_a_ray_cluster_cannot_be_scaled(objects: list[dict[str, Any]]) -> None:
    budgets = [one["spec"] for one in of_kind(objects, "PodDisruptionBudget")]
    assert budgets
    assert all("maxUnavailable" not in each and isinstance(each["minAvailable"], int) for each in budgets)


def test_only_the_clusters_pods_reach_rays_ports(objects: list[dict[str, Any]]) -> None:
    policies = {one["metadata"]["name"]: one["spec"] for one in of_kind(objects, "NetworkPolicy")}
    (rule,) = policies["statmux"]["ingress"]
    assert rule["from"] == [{"podSelector": policies["statmux"]["podSelector"]}]
    open_ports = {port["port"] for each in policies["statmux-endpoints"]["ingress"] for port in each["ports"]}
    assert open_ports == set(PORTS)


def test_no_secret_is_in_plain_sight(objects: list[dict[str, Any]]) -> None:
    assert of_kind(objects, "Secret") == []
    assert not [word for word in words_of(objects) if "PRIVATE KEY" in word]


def test_the_metrics_service_is_the_one_that_is_scraped() -> None:
    objects = committed("tpu")
    (monitor,) = of_kind(objects, "ServiceMonitor")
    wanted = monitor["spec"]["selector"]["matchLabels"].items()
    (service,) = [one for one in of_kind(objects, "Service") if wanted <= one["metadata"]["labels"].items()]
    (endpoint,) = monitor["spec"]["endpoints"]
    assert endpoint["port"] in {port["name"] for port in service["spec"]["ports"]}
    assert service["spec"]["publishNotReadyAddresses"]
    tokens = yaml.safe_load(of_kind(objects, "ConfigMap")[0]["data"]["deployment.yaml"])["security"]["auth"]
    shown = next(
        each for each in tokens["tokens"] if each["name"] == endpoint["authorization"]["credentials"]["key"]
    )
    assert shown["scopes"] == ["metrics"], "Prometheus needs no more than that"
