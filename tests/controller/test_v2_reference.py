"""docs/reference/v2.md names what the protocol has here."""

from __future__ import annotations

from pathlib import Path

from controller.grpc_v2.describe import Description
from controller.grpc_v2.echo_fleet import EchoFleet
from controller.grpc_v2.text_interface import INPUTS, OUTPUTS
from controller.grpc_v2.text_parameters import _READ
from controller.http.endpoint import Front
from controller.http.errors import STATUS
from controller.http.v2 import v2_routes
from controller.tenants import ONE_TENANT
from controller.text import TextFront

PAGE = (Path(__file__).parents[2] / "docs" / "reference" / "v2.md").read_text()
FLEET = EchoFleet([])
TEXT = TextFront(FLEET, {})


def test_every_input_output_and_parameter_of_text_is_there() -> None:
    assert not [name for name in (*INPUTS, *OUTPUTS, *_READ) if f"`{name}`" not in PAGE]


def test_every_call_and_status_is_there() -> None:
    rpcs = {*Description(FLEET, TEXT).rpcs(), "ModelInfer", "ModelStreamInfer"} - {"RepositoryModelUnload"}
    assert not [name for name in rpcs if f"`{name}`" not in PAGE]
    paths = [route.path for route in v2_routes(Front(FLEET, TEXT, ONE_TENANT, 1000))]
    paths = [path.replace("{model}", "{m}") for path in paths if "version" not in path and "rest" not in path]
    assert not [path for path in paths if path not in PAGE and not path.endswith("/unload")]
    assert not [status for status in set(STATUS.values()) - {499} if f"| {status} |" not in PAGE]
