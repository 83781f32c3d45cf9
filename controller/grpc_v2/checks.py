"""Does a request fit its model? One `ModelCheck` per model, made once, asked for every request."""

from __future__ import annotations

import math
from difflib import get_close_matches
from typing import final

from controller.calls import ModelState, ModelView, Reason
from controller.grpc_v2.contents import raw_of
from controller.grpc_v2.refusals import Refused
from vocabulary.limits import Limits
from vocabulary.numpy_tensors import unpack_bytes
from vocabulary.tensors import ELEMENT_BYTES, Tensor, TensorSpec

MAX_ID_CHARS = 1024
_MAX_NAMES_TO_COMPARE = 200
_MAX_NAMES_TO_SHOW = 5


@final
class ModelCheck:
    """Turns the inputs of requests for `view` into tensors, or says exactly what is wrong with them."""

    def __init__(self, view: ModelView) -> None:
        self.view = view
        self._inputs = {spec.name: spec for spec in view.inputs}
        self._outputs = frozenset(spec.name for spec in view.outputs)

    def tensors_of(self, request: object) -> tuple[Tensor, ...]:
        """Inputs in the request's order, each with its elements as raw bytes. Raises Refused."""
        if not self.view.inputs and self.view.state is not ModelState.READY:
            return ()  # what it takes is not known before it is loaded: the fleet says why it refuses
        raws, inputs = request.raw_input_contents, request.inputs
        if raws and len(raws) != len(inputs):
            raise self._bad(
                f"{len(inputs)} inputs came with {len(raws)} raw_input_contents; send one for each"
            )
        if len(inputs) != len(self._inputs) or len({item.name for item in inputs}) != len(inputs):
            raise self._bad(
                f"expected inputs {self._expected()}, got {[short(item.name) for item in inputs[:20]]}"
            )
        if raws:
            return tuple([self._raw_tensor(item, raw) for item, raw in zip(inputs, raws, strict=True)])
        return tuple([self._typed_tensor(item) for item in inputs])

    def wanted_outputs(self, request: object) -> tuple[str, ...]:
        """Names of the outputs that the request asks for, () for all. Raises Refused."""
        for output in request.outputs if self._outputs else ():
            if output.name not in self._outputs:
                known = [spec.name for spec in self.view.outputs]
                raise self._bad(f"no output {short(output.name)!r}; it has {known}")
            for unsupported in ("classification", "shared_memory_region"):
                if unsupported in output.parameters:
                    raise self._bad(f"output parameter {unsupported!r} is not supported")
        return tuple(output.name for output in request.outputs)

    def _raw_tensor(self, item: object, raw: bytes) -> Tensor:
        spec, shape = self._spec_of(item)
        if item.HasField("contents") and item.contents.ByteSize():
            raise self._bad(f"input {spec.name!r} has both contents and raw_input_contents; send one of them")
        element_bytes = ELEMENT_BYTES.get(spec.datatype)
        if element_bytes is None:
            self._check_elements(spec, shape, raw)
        elif math.prod(shape) * element_bytes != len(raw):
            expected = math.prod(shape) * element_bytes
            raise self._bad(f"input {_shown(spec, shape)} takes {expected} bytes, got {len(raw)}")
        return Tensor(spec.name, spec.datatype, shape, raw)

    def _typed_tensor(self, item: object) -> Tensor:
        spec, shape = self._spec_of(item)
        if not item.HasField("contents"):
            raise self._bad(f"input {spec.name!r} came without contents (shared memory is not supported)")
        raw = raw_of(spec.name, spec.datatype, item.contents)
        element_bytes = ELEMENT_BYTES.get(spec.datatype)
        num_elements = len(unpack_bytes(raw)) if element_bytes is None else len(raw) // element_bytes
        if num_elements != math.prod(shape):
            expected = f"{math.prod(shape)} elements of {spec.datatype}"
            raise self._bad(f"input {_shown(spec, shape)} takes {expected}, got {num_elements}")
        return Tensor(spec.name, spec.datatype, shape, raw)

    def _spec_of(self, item: object) -> tuple[TensorSpec, tuple[int, ...]]:
        spec = self._inputs.get(item.name)
        if spec is None:
            raise self._bad(f"no input {short(item.name)!r}; expected {self._expected()}")
        shape = tuple(item.shape)
        if item.datatype == spec.datatype and self._takes(spec, shape):
            return spec, shape
        got = f"{short(item.datatype)} {list(shape[:16])}"
        raise self._bad(f"input {spec.name!r}: expected {_spelled(spec)}{self._batch_note()}, got {got}")

    def _takes(self, spec: TensorSpec, shape: tuple[int, ...]) -> bool:
        is_batch_too_large = 0 < self.view.max_batch_size < (shape[0] if shape else 1)
        fits = shape == spec.shape or spec.accepts(shape)
        return fits and min(shape, default=1) > 0 and not is_batch_too_large

    def _check_elements(self, spec: TensorSpec, shape: tuple[int, ...], raw: bytes) -> None:
        try:
            num_elements = len(unpack_bytes(raw))
        except ValueError as error:
            raise self._bad(f"input {_shown(spec, shape)}: {error}") from error
        if num_elements != math.prod(shape):
            raise self._bad(
                f"input {_shown(spec, shape)} takes {math.prod(shape)} elements, got {num_elements}"
            )

    def _expected(self) -> str:
        return "[" + ", ".join(f"{spec.name} {_spelled(spec)}" for spec in self.view.inputs) + "]"

    def _batch_note(self) -> str:
        return f" (batch <= {self.view.max_batch_size})" if self.view.max_batch_size else ""

    def _bad(self, message: str) -> Refused:
        return Refused(Reason.INVALID_TENSOR, f"model {self.view.name!r}: {message}")


def check_sizes(request: object, limits: Limits) -> None:
    """Raises Refused for more tensors, dimensions or elements than are taken, whatever the model is."""
    num_tensors = max(len(request.inputs), len(request.outputs), len(request.raw_input_contents))
    if num_tensors > limits.max_tensors:
        text = f"the request has {num_tensors} tensors; at most {limits.max_tensors} are taken"
        raise Refused(Reason.INVALID_TENSOR, text)
    if len(request.id) > MAX_ID_CHARS:
        text = f"the id has {len(request.id)} characters; at most {MAX_ID_CHARS} are taken"
        raise Refused(Reason.INVALID_REQUEST, text)
    for item in request.inputs:
        rank, shown = len(item.shape), short(item.name)
        if rank > limits.max_rank:
            text = f"input {shown!r} has {rank} dimensions; at most {limits.max_rank} are taken"
            raise Refused(Reason.INVALID_TENSOR, text)
        num_elements = math.prod(item.shape)
        if num_elements > limits.max_elements:
            text = f"input {shown!r} has {num_elements} elements; at most {limits.max_elements} are taken"
            raise Refused(Reason.INVALID_TENSOR, text)


def check_version(view: ModelView, version: str) -> None:
    """ "" stands for the newest. Raises Refused if the model has no such version."""
    if version and version not in view.versions:
        known = ", ".join(view.versions)
        message = f"model {view.name!r} has no version {short(version)!r}; it has {known}"
        raise Refused(Reason.UNKNOWN_VERSION, message)


def unknown_model(name: str, known: list[str]) -> Refused:
    """The refusal of a call for `name`, with the nearest name that exists."""
    shown = short(name)
    near = get_close_matches(shown, known[:_MAX_NAMES_TO_COMPARE], n=1)
    if near:
        return Refused(Reason.UNKNOWN_MODEL, f"unknown model {shown!r}; did you mean {near[0]!r}?")
    listed = ", ".join(known[:_MAX_NAMES_TO_SHOW]) or "none"
    more = f" and {len(known) - _MAX_NAMES_TO_SHOW} more" if len(known) > _MAX_NAMES_TO_SHOW else ""
    return Refused(Reason.UNKNOWN_MODEL, f"unknown model {shown!r}; known models: {listed}{more}")


def short(text: str) -> str:
    """`text` cut to a length that fits into a status message."""
    return text if len(text) <= 80 else text[:80] + "..."


def _spelled(spec: TensorSpec) -> str:
    return f"{spec.datatype} {list(spec.shape)}"


def _shown(spec: TensorSpec, shape: tuple[int, ...]) -> str:
    return f"{spec.name!r} ({spec.datatype} {list(shape)})"
