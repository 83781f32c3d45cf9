"""The CUDA runtime, by ctypes: what moving bytes between devices needs of it, and no more."""

from __future__ import annotations

import ctypes
from ctypes import c_char_p, c_int, c_size_t, c_uint, c_void_p
from typing import final

from resharding.transport.shared_objects import declare, load
from vocabulary.errors import RuntimeFailure

NAMES = ("libcudart.so.13", "libcudart.so.12", "libcudart.so")
# These functions have not changed since; NCCL itself asks for no less.
_OLDEST = 11000
# From the enumeration cudaError, cudaMemcpyKind, and the flags of streams and events (driver_types.h).
_NOT_READY = 600
_BY_ADDRESS = 4
_NON_BLOCKING = 1
_NO_TIMING = 2

_PROTOTYPES: dict[str, tuple[type, ...]] = {
    "cudaRuntimeGetVersion": (c_void_p,),
    "cudaGetDeviceCount": (c_void_p,),
    "cudaSetDevice": (c_int,),
    "cudaStreamCreateWithFlags": (c_void_p, c_uint),
    "cudaStreamDestroy": (c_void_p,),
    "cudaStreamQuery": (c_void_p,),
    "cudaEventCreateWithFlags": (c_void_p, c_uint),
    "cudaEventRecord": (c_void_p, c_void_p),
    "cudaEventQuery": (c_void_p,),
    "cudaEventDestroy": (c_void_p,),
    "cudaMemcpyAsync": (c_void_p, c_void_p, c_size_t, c_int, c_void_p),
    "cudaMalloc": (c_void_p, c_size_t),
    "cudaFree": (c_void_p,),
}


class CudaFailure(Exception):
    """A call to the runtime that failed, in words."""


@final
class Cuda:
    """Streams, events and memory are addresses. A thread calls `use` first. All methods raise CudaFailure."""

    def __init__(self, library: ctypes.CDLL | None = None) -> None:
        """Raises RuntimeFailure where there is no runtime of CUDA 11 or later."""
        self._library = load(NAMES) if library is None else library
        declare(self._library, _PROTOTYPES)
        declare(self._library, {"cudaGetErrorString": (c_int,)}, result=c_char_p)
        version = self._number("cudaRuntimeGetVersion")
        if version < _OLDEST:
            raise RuntimeFailure(
                f"CUDA's runtime is of version {version}", hint=f"install {_OLDEST} or later"
            )

    def num_devices(self) -> int:
        return self._number("cudaGetDeviceCount")

    def use(self, device_ordinal: int) -> None:
        """What this thread does from now on, it does on that device."""
        self._do("cudaSetDevice", device_ordinal)

    def new_stream(self) -> int:
        """It waits for no other, not even for the default one."""
        return self._new("cudaStreamCreateWithFlags", _NON_BLOCKING)

    def destroy_stream(self, stream: int) -> None:
        self._do("cudaStreamDestroy", stream)

    def is_idle(self, stream: int) -> bool:
        return self._is_ready("cudaStreamQuery", stream)

    def new_event(self) -> int:
        return self._new("cudaEventCreateWithFlags", _NO_TIMING)

    def record(self, event: int, stream: int) -> None:
        """The event happens when all that the stream has been given so far is done."""
        self._do("cudaEventRecord", event, stream)

    def has_happened(self, event: int) -> bool:
        return self._is_ready("cudaEventQuery", event)

    def destroy_event(self, event: int) -> None:
        self._do("cudaEventDestroy", event)

    def copy(self, *, source: int, target: int, num_bytes: int, stream: int) -> None:
        """Between any two addresses, of the device or pinned; when the stream gets there."""
        self._do("cudaMemcpyAsync", target, source, num_bytes, _BY_ADDRESS, stream)

    def allocate(self, num_bytes: int) -> int:
        return self._new("cudaMalloc", num_bytes)

    def free(self, address: int) -> None:
        self._do("cudaFree", address)

    def _number(self, name: str) -> int:
        number = c_int()
        self._do(name, ctypes.byref(number))
        return number.value

    def _new(self, name: str, *arguments: int) -> int:
        address = c_void_p()
        self._do(name, ctypes.byref(address), *arguments)
        return address.value or 0

    def _is_ready(self, name: str, address: int) -> bool:
        result = getattr(self._library, name)(address)
        if result not in (0, _NOT_READY):
            raise self._failure(name, result)
        return result == 0

    def _do(self, name: str, *arguments: object) -> None:
        result = getattr(self._library, name)(*arguments)
        if result:
            raise self._failure(name, result)

    def _failure(self, name: str, result: int) -> CudaFailure:
        return CudaFailure(f"{name} failed: {self._library.cudaGetErrorString(result).decode()} ({result})")
