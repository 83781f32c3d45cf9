"""NCCL, by ctypes: communicators that never block, and what one transfer needs.

Written to nccl.h of 2.18 to 2.32. Its one structure is versioned and only ever grows at its end: a library
reads as much of it as its `size` says and takes defaults for the rest, so the layout of 2.18 serves for all.
"""

from __future__ import annotations

import ctypes
from ctypes import c_char, c_char_p, c_int, c_size_t, c_uint, c_void_p
from dataclasses import dataclass
from typing import final

from resharding.transport.shared_objects import declare, load
from vocabulary.errors import RuntimeFailure

NAMES = ("libnccl.so.2",)
UNIQUE_ID_BYTES = 128
_OLDEST, _FIRST_UNKNOWN = 21800, 30000
_MAGIC = 0xCAFEBEEF
_UNDEFINED = -(2**31)
_IN_PROGRESS = 7
_BYTES = 1  # ncclUint8


class UniqueId(ctypes.Structure):
    """ncclUniqueId: passed by value."""

    _fields_ = (("internal", c_char * UNIQUE_ID_BYTES),)


class _Config(ctypes.Structure):
    """ncclConfig_t as of 2.18."""

    _fields_ = (
        ("size", c_size_t),
        ("magic", c_uint),
        ("version", c_uint),
        ("blocking", c_int),
        ("cga_cluster_size", c_int),
        ("min_ctas", c_int),
        ("max_ctas", c_int),
        ("net_name", c_char_p),
        ("split_share", c_int),
    )


_PROTOTYPES: dict[str, tuple[type, ...]] = {
    "ncclGetVersion": (c_void_p,),
    "ncclGetUniqueId": (c_void_p,),
    "ncclCommInitRankConfig": (c_void_p, c_int, UniqueId, c_int, c_void_p),
    "ncclCommGetAsyncError": (c_void_p, c_void_p),
    "ncclCommAbort": (c_void_p,),
    "ncclGroupStart": (),
    "ncclGroupEnd": (),
    "ncclSend": (c_void_p, c_size_t, c_int, c_int, c_void_p, c_void_p),
    "ncclRecv": (c_void_p, c_size_t, c_int, c_int, c_void_p, c_void_p),
    "ncclBroadcast": (c_void_p, c_void_p, c_size_t, c_int, c_int, c_void_p, c_void_p),
}


class NcclFailure(Exception):
    """A call to NCCL that failed, in words."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Bytes in a device's memory."""

    address: int
    num_bytes: int


@final
class Nccl:
    """Communicators are addresses. One thread at a time for one of them. All methods raise NcclFailure."""

    def __init__(self, library: ctypes.CDLL | None = None) -> None:
        """Raises RuntimeFailure where there is no NCCL, or one whose structures are not known here."""
        self._library = load(NAMES) if library is None else library
        declare(self._library, _PROTOTYPES)
        text = {"ncclGetErrorString": (c_int,), "ncclGetLastError": (c_void_p,)}
        declare(self._library, text, result=c_char_p)
        self._handles: dict[int, c_void_p] = {}
        number = c_int()
        self._do("ncclGetVersion", ctypes.byref(number))
        self.version = number.value
        if not _OLDEST <= self.version < _FIRST_UNKNOWN:
            raise RuntimeFailure(
                f"{self._library._name} is NCCL {self.version}; this build knows {_OLDEST} (2.18) to "
                f"{_FIRST_UNKNOWN - 1}",
                hint="install NCCL 2.18 or a later 2.x (nvidia-nccl-cu12 or -cu13)",
            )

    def new_unique_id(self) -> bytes:
        """What the members of one communicator must know of each other."""
        made = UniqueId()
        self._do("ncclGetUniqueId", ctypes.byref(made))
        return bytes(made)

    def start_communicator(self, unique_id: bytes, *, rank: int, num_ranks: int, max_ctas: int) -> int:
        """On this thread's device; it can be used as soon as `is_ready`."""
        config = _Config(
            ctypes.sizeof(_Config), _MAGIC, _OLDEST, 0, _UNDEFINED, 1, max_ctas, None, _UNDEFINED
        )
        made = c_void_p()
        named = UniqueId.from_buffer_copy(unique_id)
        self._do_not_wait(
            "ncclCommInitRankConfig", ctypes.byref(made), num_ranks, named, rank, ctypes.byref(config)
        )
        assert made.value is not None
        # NCCL's own thread reads it there while it connects.
        self._handles[made.value] = made
        return made.value

    def is_ready(self, communicator: int) -> bool:
        """Whether all that it was asked for has been started on the device."""
        found = c_int()
        self._do("ncclCommGetAsyncError", communicator, ctypes.byref(found))
        if found.value not in (0, _IN_PROGRESS):
            raise self._failure("a communicator", found.value, communicator)
        return found.value == 0

    def send(self, communicator: int, stretch: Stretch, *, to: int, stream: int) -> None:
        """Until `is_ready`, the stream does not know of it: so with the next two."""
        self._in_group("ncclSend", stretch.address, stretch.num_bytes, _BYTES, to, communicator, stream)

    def receive(self, communicator: int, stretch: Stretch, *, frm: int, stream: int) -> None:
        self._in_group("ncclRecv", stretch.address, stretch.num_bytes, _BYTES, frm, communicator, stream)

    def broadcast(self, communicator: int, stretch: Stretch, *, root: int, stream: int) -> None:
        address, num_bytes = stretch.address, stretch.num_bytes
        self._in_group("ncclBroadcast", address, address, num_bytes, _BYTES, root, communicator, stream)

    def abort(self, communicator: int) -> None:
        """Here only: it is gone, and what it was doing on this device ends."""
        self._do_not_wait("ncclCommAbort", communicator)
        self._handles.pop(communicator, None)

    def _in_group(self, name: str, *arguments: int) -> None:
        """As a group: what a communicator cannot start at once it then starts in the background."""
        self._do("ncclGroupStart")
        try:
            self._do(name, *arguments)
        finally:
            self._do_not_wait("ncclGroupEnd")

    def _do(self, name: str, *arguments: object) -> None:
        result = getattr(self._library, name)(*arguments)
        if result:
            raise self._failure(name, result, None)

    def _do_not_wait(self, name: str, *arguments: object) -> None:
        result = getattr(self._library, name)(*arguments)
        if result not in (0, _IN_PROGRESS):
            raise self._failure(name, result, None)

    def _failure(self, what: str, result: int, communicator: int | None) -> NcclFailure:
        said = self._library.ncclGetErrorString(result).decode()
        last = self._library.ncclGetLastError(communicator)
        more = f": {last.decode(errors='replace')}" if last else ""
        return NcclFailure(f"{what} failed: {said} ({result}){more}")
