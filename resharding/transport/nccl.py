"""The transport between GPUs: NCCL moves the bytes, links of the host say when."""

from __future__ import annotations

from typing import final

from resharding.transport.cuda_library import Cuda, CudaFailure
from resharding.transport.dialing import Call
from resharding.transport.endpoints import Endpoint, this_host
from resharding.transport.exchange import Exchange
from resharding.transport.nccl_channel import NcclChannel, NcclMeans
from resharding.transport.nccl_circuits import Circuits, Gpu
from resharding.transport.nccl_library import Nccl
from resharding.transport.rendezvous import Rendezvous
from vocabulary.errors import RuntimeFailure

# Large enough that looking at the device between two costs little of either; the same at all members.
SLICE_BYTES = 2**27


@final
class NcclTransport:
    """See `interface.Transport`. Of one device: a process has one for each. Buffers are DeviceBuffers.

    rendezvous: where members find the unique ids of communicators; address, timeout_s: as of HostTransport;
    cuda, nccl: the libraries, those of the system by default; slice_bytes: after how many it is seen that a
    transfer goes on, equal at all members. Two members on one GPU need NCCL 2.30 or later and
    NCCL_MULTI_RANK_GPU_ENABLE=1.
    """

    def __init__(
        self,
        *,
        rendezvous: Rendezvous,
        device_ordinal: int = 0,
        address: str = "127.0.0.1",
        timeout_s: float = 30.0,
        cuda: Cuda | None = None,
        nccl: Nccl | None = None,
        host: str | None = None,
        slice_bytes: int = SLICE_BYTES,
    ) -> None:
        """Raises RuntimeFailure without the libraries, or the device."""
        self._gpu = Gpu(cuda or Cuda(), nccl or Nccl(), device_ordinal, timeout_s)
        _check_device(self._gpu)
        self._circuits = Circuits(self._gpu)
        self._rendezvous = rendezvous
        self._timeout_s = timeout_s
        self._slice_bytes = slice_bytes
        self._exchange = Exchange(
            address=address, timeout_s=timeout_s, host=host or this_host(), make=self._channel
        )

    @property
    def num_links(self) -> int:
        """On which others speak to this process."""
        return self._exchange.num_links

    @property
    def num_idle_circuits(self) -> int:
        """Communicators that the next channel finds ready."""
        return self._circuits.num_idle

    def endpoint(self) -> Endpoint:
        """Listens from the first call on."""
        return self._exchange.endpoint()

    def open(self, group: tuple[Endpoint, ...], epoch: int) -> NcclChannel:
        """Raises InvalidInput for an epoch that is over, or a group without this process."""
        return self._exchange.open(group, epoch)

    def close(self) -> None:
        """Ends all channels and communicators."""
        self._exchange.close()
        self._circuits.close()

    def _channel(self, call: Call) -> NcclChannel:
        means = NcclMeans(
            dialer=self._exchange.dialer,
            gpu=self._gpu,
            circuits=self._circuits,
            rendezvous=self._rendezvous,
            timeout_s=self._timeout_s,
            slice_bytes=self._slice_bytes,
        )
        return NcclChannel(call, means)


def why_not_here() -> str | None:
    """Why there can be no such transport on this machine, or None."""
    try:
        _check_device(Gpu(Cuda(), Nccl(), 0, 0.0))
    except RuntimeFailure as failure:
        return str(failure)
    return None


def _check_device(gpu: Gpu) -> None:
    hint = "see what nvidia-smi lists, and CUDA_VISIBLE_DEVICES"
    try:
        num_devices = gpu.cuda.num_devices()
    except CudaFailure as failure:
        raise RuntimeFailure(f"there is no GPU here: {failure}", hint=hint) from failure
    if gpu.ordinal >= num_devices:
        raise RuntimeFailure(f"device {gpu.ordinal} is none of the {num_devices} of this process", hint=hint)
