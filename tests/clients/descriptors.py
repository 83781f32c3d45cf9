"""Our messages against the descriptors that a client ships: python descriptors.py tritonclient|kserve.

Every field that both sides have must have the same number, type and label. Exits 0 if so.
"""

from __future__ import annotations

import sys
from importlib import import_module

from google.protobuf.descriptor import Descriptor

from controller.grpc_v2.messages import POOL, SERVICE

THEIRS = {
    "tritonclient": ("tritonclient.grpc.service_pb2", "tritonclient.grpc.model_config_pb2"),
    "kserve": ("kserve.protocol.grpc.grpc_predict_v2_pb2",),
}
# KServe's name sits in the field of Triton's repository, on purpose (see inference.proto).
DIFFERENT = {
    "kserve": {
        "inference.RepositoryModelLoadRequest.model_name",
        "inference.RepositoryModelUnloadRequest.model_name",
    },
    "tritonclient": set(),
}


def main(client: str) -> None:
    num_compared = 0
    for module in THEIRS[client]:
        for message in import_module(module).DESCRIPTOR.message_types_by_name.values():
            num_compared += compare(message, DIFFERENT[client])
    assert num_compared > 60, num_compared
    service = POOL.FindServiceByName(SERVICE)
    theirs = import_module(THEIRS[client][0]).DESCRIPTOR.services_by_name["GRPCInferenceService"]
    for method in service.methods:
        other = theirs.methods_by_name.get(method.name)
        if other is not None:
            assert other.input_type.full_name == method.input_type.full_name, method.name
            assert other.output_type.full_name == method.output_type.full_name, method.name


def compare(theirs: Descriptor, different: set[str]) -> int:
    try:
        ours = POOL.FindMessageTypeByName(theirs.full_name)
    except KeyError:
        return 0
    num_compared = sum(compare(nested, different) for nested in theirs.nested_types)
    for field in ours.fields:
        other = theirs.fields_by_name.get(field.name)
        if other is not None and field.full_name not in different:
            assert shape_of(field) == shape_of(other), field.full_name
            num_compared += 1
    return num_compared


def shape_of(field) -> tuple:
    kind = field.message_type or field.enum_type
    return field.number, field.type, field.is_repeated, kind.full_name if kind else None


main(sys.argv[1])
