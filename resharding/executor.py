"""Carries out plans on JAX arrays, in one process or between several. The only file here that imports jax."""

from __future__ import annotations

from collections import defaultdict, deque
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache, lru_cache, partial
from itertools import islice

import jax
import numpy as np
from jax import numpy as jnp

from resharding.boxes import Box, box_of, intersect, subtract
from resharding.classes import Piece
from resharding.moves import Move, Placed
from resharding.plan import Copy, plan_copies
from resharding.planner import TransferPlan
from resharding.pool import BufferPool
from resharding.transport.carry import Held, carry
from resharding.transport.device_buffers import DeviceBuffer
from resharding.transport.device_payloads import DevicePayload
from resharding.transport.interface import Channel
from resharding.transport.messages import exchange
from vocabulary.sharding import Sharding

_POOL = BufferPool()
# From so many bytes on several cores copy: activations are smaller, and leave the cores to the stages.
_SHARED_COPY_BYTES = 2**24
_COPIERS = ThreadPoolExecutor(4, thread_name_prefix="statmux-copy")
# Which target of which move: its index there, after the move's own.
Target = tuple[int, int]


@dataclass(frozen=True, slots=True)
class _Route:
    """A plan between two layouts; `copies` is empty where tile i of one is tile i of the other."""

    source: Mapping[int, Box]
    target: Mapping[int, Box]
    copies: tuple[Copy, ...]


def move(array: jax.Array, sharding: jax.sharding.Sharding) -> jax.Array:
    """`array` on the devices of `sharding`, bit for bit; every device must belong to this process.

    Copies go from device to device, tile by tile, and are only dispatched: nothing waits for them.
    (`jax.device_put` gathers the whole array on the host where the two layouts differ.) CPU devices share
    their memory: what is computed already is copied there at once, or not at all where tiles are equal.
    """
    if array.sharding == sharding:
        return array
    if array.size == 0:
        return jax.device_put(array, sharding)
    route = _route(array.sharding, sharding, array.shape)
    devices = {device.id: device for device in sharding.addressable_devices}
    shards = {shard.device.id: shard.data for shard in array.addressable_shards}
    if _share_memory(array.sharding, sharding) and array.is_ready():
        tiles = _in_host_memory(route, shards, devices)
    elif route.copies:
        tiles = _assemble(route, shards, devices)
    else:
        tiles = jax.device_put(
            [shards[device] for device in route.source], [devices[device] for device in route.target]
        )
    return jax.make_array_from_single_device_arrays(array.shape, sharding, tiles)


def is_copied_here(array: jax.Array, sharding: jax.sharding.Sharding) -> bool:
    """Whether `move` does the work itself, in the thread that calls it, once the array is computed.

    Elsewhere it only dispatches, or hands tiles over as they are.
    """
    if array.sharding == sharding or array.size == 0 or not _share_memory(array.sharding, sharding):
        return False
    return bool(_missing(_route(array.sharding, sharding, array.shape)))


def reserve(array: jax.Array, sharding: jax.sharding.Sharding, *, count: int) -> None:
    """Memory for so many such arrays at once, where `move` to that sharding copies in host memory."""
    if is_copied_here(array, sharding):
        missing = _missing(_route(array.sharding, sharding, array.shape))
        _POOL.reserve([box.shape for box in missing] * count, array.dtype)


def reserve_arriving(struct: jax.ShapeDtypeStruct, *, count: int) -> None:
    """Memory for so many such arrays at once, where `carry_arrays` receives them."""
    boxes = set(_boxes(struct.sharding, struct.shape).values())
    _POOL.reserve([box.shape for box in boxes] * count, struct.dtype)


def num_blocks_made() -> int:
    """Blocks of memory that moves have taken from the system since this process began."""
    return _POOL.num_made


def carry_arrays(
    plan: TransferPlan,
    moves: Sequence[Move],
    *,
    host: int,
    sources: Mapping[int, jax.Array],
    targets: Mapping[Target, jax.ShapeDtypeStruct],
    channel: Channel,
    members: Mapping[int, int],
    first_tag: int = 0,
) -> Mapping[Target, jax.Array]:
    """Moves sharded arrays between processes: what `targets` wants here, on its shardings, bit for bit.

    Every process of the plan calls it with the same plan, as `carry`. In the moves a process is a host, its
    devices go by their ids (`placed_on`). sources: by tensor, what lies here. Goes through the memory of the
    host; blocks until all has arrived. Raises TransferFailed.
    """
    tiles = {held: tile for tensor, array in sources.items() for held, tile in _held(tensor, array, host)}
    rooms = {target: _Room(struct) for target, struct in targets.items()}
    for (tensor, number), room in rooms.items():
        tiles |= {Held(tensor, (host, device), number): tile for device, tile in room.tiles()}
    carry(
        plan,
        moves,
        host=host,
        tiles=tiles,
        channel=channel,
        members=members,
        first_tag=first_tag,
    )
    # One call for all of them: each costs as much as a small tensor.
    placed = iter(
        jax.device_put(
            [block for room in rooms.values() for block in room.blocks],
            [device for room in rooms.values() for device in room.devices],
        )
    )
    return {target: room.array(list(islice(placed, len(room.devices)))) for target, room in rooms.items()}


def carry_on_device(
    plan: TransferPlan,
    moves: Sequence[Move],
    *,
    host: int,
    sources: Mapping[int, jax.Array],
    targets: Mapping[Target, jax.ShapeDtypeStruct],
    channel: Channel,
    members: Mapping[int, int],
    device: jax.Device,
    first_tag: int = 0,
) -> Mapping[Target, jax.Array]:
    """As `carry_arrays`, but bytes never leave the devices: for the channel of an NcclTransport.

    device: the one of this process that the transport is of; what other devices hold or want goes through it.
    """
    pieces = _Pieces(sources, targets, device)

    @cache
    def payload(number: int) -> DevicePayload:
        one = plan.classes[number]
        return DevicePayload(one, pieces.held if host in one.senders else pieces.room)

    exchange(
        plan,
        host=host,
        channel=channel,
        members=members,
        first_tag=first_tag,
        payload=payload,
        meanwhile=lambda: None,
    )
    return {target: pieces.array(target) for target in targets}


def placed_on(sharding: jax.sharding.NamedSharding, *, num_dims: int, host: int) -> Placed:
    """A sharding of this process in the words of plans, where the process is `host`."""
    dims = [*sharding.spec, *[None] * (num_dims - len(sharding.spec))]
    named = tuple(() if dim is None else (dim,) if isinstance(dim, str) else tuple(dim) for dim in dims)
    devices = tuple((host, device.id) for device in sharding.mesh.devices.flat)
    return Placed(Sharding(tuple(sharding.mesh.shape.items()), named), devices)


class _Room:
    """Memory for an array that is to come: one block for all devices that want the same part of it."""

    def __init__(self, struct: jax.ShapeDtypeStruct) -> None:
        self._struct = struct
        self._boxes = _boxes(struct.sharding, struct.shape)
        made = {box: _POOL.empty(box.shape, struct.dtype) for box in set(self._boxes.values())}
        # For each device; once they are full and handed over, they are JAX's.
        self.blocks = [made[box] for box in self._boxes.values()]
        devices = {device.id: device for device in struct.sharding.addressable_devices}
        self.devices = [devices[device] for device in self._boxes]

    def tiles(self) -> Iterable[tuple[int, np.ndarray]]:
        return zip(self._boxes, self.blocks, strict=True)

    def array(self, tiles: list[jax.Array]) -> jax.Array:
        """The blocks, put on the devices."""
        return jax.make_array_from_single_device_arrays(self._struct.shape, self._struct.sharding, tiles)


class _Pieces:
    """Parts of arrays as arrays of one device: those to send, and room for those that come."""

    def __init__(
        self,
        sources: Mapping[int, jax.Array],
        targets: Mapping[Target, jax.ShapeDtypeStruct],
        device: jax.Device,
    ) -> None:
        self._targets = targets
        self._device = device
        self._held = {
            tensor: [(box_of(shard.index, array.shape), shard.data) for shard in array.addressable_shards]
            for tensor, array in sources.items()
        }
        self._dtypes = {tensor: struct.dtype for (tensor, _), struct in targets.items()}
        self._came: dict[int, list[tuple[Box, jax.Array]]] = defaultdict(list)

    def held(self, piece: Piece) -> DeviceBuffer:
        """Memory with the piece in it."""
        tile, shard = next(
            (box, shard) for box, shard in self._held[piece.tensor] if intersect(box, piece.box) == piece.box
        )
        return self._buffer(jax.device_put(_cut(shard, piece.box, tile=tile), self._device))

    def room(self, piece: Piece) -> DeviceBuffer:
        """Memory for the piece: an array that nobody has looked at yet, so that it may still change."""
        array = jnp.zeros(piece.box.shape, self._dtypes[piece.tensor], device=self._device)
        self._came[piece.tensor].append((piece.box, array))
        return self._buffer(array)

    def array(self, target: Target) -> jax.Array:
        """When all is here: put together on its devices, from what came and what this process had."""
        struct = self._targets[target]
        devices = {device.id: device for device in struct.sharding.addressable_devices}
        known = [*self._held.get(target[0], ()), *self._came[target[0]]]
        tiles = [
            _join(_parts(box, known, devices[number]), tile=box)
            if box.volume
            else jnp.zeros(box.shape, struct.dtype, device=devices[number])
            for number, box in _boxes(struct.sharding, struct.shape).items()
        ]
        return jax.make_array_from_single_device_arrays(struct.shape, struct.sharding, tiles)

    def _buffer(self, array: jax.Array) -> DeviceBuffer:
        array.block_until_ready()
        return DeviceBuffer(
            array.unsafe_buffer_pointer(), array.nbytes, self._device.local_hardware_id or 0, array
        )


def _parts(
    box: Box, known: Sequence[tuple[Box, jax.Array]], device: jax.Device
) -> list[tuple[Box, jax.Array]]:
    """What fills the box, on `device`: from the first of `known` that has it."""
    found, missing = [], [box]
    for holder, array in known:
        for part in (intersect(one, holder) for one in missing):
            if part.volume:
                found.append((part, jax.device_put(_cut(array, part, tile=holder), device)))
        missing = [rest for one in missing for rest in subtract(one, holder)]
    return found


def _held(tensor: int, array: jax.Array, host: int) -> Iterable[tuple[Held, np.ndarray]]:
    """Replicas are read once: on an accelerator each costs a copy."""
    read: dict[Box, np.ndarray] = {}
    for shard in array.addressable_shards:
        box = box_of(shard.index, array.shape)
        if box not in read:
            read[box] = np.asarray(shard.data)
        yield Held(tensor, (host, shard.device.id)), read[box]


def _missing(route: _Route) -> set[Box]:
    """Tiles that no source device holds as they are."""
    return set(route.target.values()) - set(route.source.values()) if route.copies else set()


def _share_memory(source: jax.sharding.Sharding, target: jax.sharding.Sharding) -> bool:
    devices = (*source.addressable_devices, *target.addressable_devices)
    return all(device.platform == "cpu" for device in devices)


def _in_host_memory(
    route: _Route, shards: Mapping[int, jax.Array], devices: Mapping[int, jax.Device]
) -> list[jax.Array]:
    """Equal tiles are handed over as they are, others are put together once and shared by all replicas."""
    held = {device: np.asarray(shard) for device, shard in shards.items()}
    tiles = {box: held[device] for device, box in route.source.items()}
    dtype = next(iter(held.values())).dtype
    filled = {box: device for device, box in route.target.items() if box not in tiles}
    tiles |= {box: _POOL.empty(box.shape, dtype) for box in filled}
    places, pieces = [], []
    for copy in route.copies:
        box = route.target[copy.target]
        if filled.get(box) == copy.target:
            places.append(tiles[box][copy.box.slices(origin=box.start)])
            pieces.append(held[copy.source][copy.box.slices(origin=route.source[copy.source].start)])
    num_bytes = sum(place.nbytes for place in places)
    # Numpy copies without holding the interpreter.
    each = _COPIERS.map if num_bytes >= _SHARED_COPY_BYTES else map
    deque(each(np.copyto, places, pieces), maxlen=0)
    return jax.device_put([tiles[box] for box in route.target.values()], [devices[d] for d in route.target])


@lru_cache(maxsize=4096)
def _route(
    source_sharding: jax.sharding.Sharding, target_sharding: jax.sharding.Sharding, shape: tuple[int, ...]
) -> _Route:
    source, target = _boxes(source_sharding, shape), _boxes(target_sharding, shape)
    same = list(source.values()) == list(target.values())
    return _Route(source, target, () if same else plan_copies(source, target))


def _boxes(sharding: jax.sharding.Sharding, shape: tuple[int, ...]) -> Mapping[int, Box]:
    index_map = sharding.addressable_devices_indices_map(shape)
    return {device.id: box_of(index, shape) for device, index in index_map.items()}


def _assemble(
    route: _Route, shards: Mapping[int, jax.Array], devices: Mapping[int, jax.Device]
) -> list[jax.Array]:
    cut = [_cut(shards[copy.source], copy.box, tile=route.source[copy.source]) for copy in route.copies]
    sent = jax.device_put(cut, [devices[copy.target] for copy in route.copies])
    arrived: dict[int, list[tuple[Box, jax.Array]]] = {device: [] for device in route.target}
    for copy, piece in zip(route.copies, sent, strict=True):
        arrived[copy.target].append((copy.box, piece))
    return [_join(pieces, tile=route.target[device]) for device, pieces in arrived.items()]


def _cut(shard: jax.Array, box: Box, *, tile: Box) -> jax.Array:
    if box == tile:
        return shard
    return _slice(shard, tuple((one.start, one.stop) for one in box.slices(origin=tile.start)))


def _join(arrived: Sequence[tuple[Box, jax.Array]], *, tile: Box) -> jax.Array:
    if len(arrived) == 1:
        return arrived[0][1]
    starts = tuple(tuple(one.start for one in box.slices(origin=tile.start)) for box, _ in arrived)
    return _fill([piece for _, piece in arrived], starts, tile.shape)


@partial(jax.jit, static_argnums=1)
def _slice(shard: jax.Array, bounds: tuple[tuple[int, int], ...]) -> jax.Array:
    return shard[tuple(slice(start, stop) for start, stop in bounds)]


@partial(jax.jit, static_argnums=(1, 2))
def _fill(
    pieces: Sequence[jax.Array], starts: tuple[tuple[int, ...], ...], shape: tuple[int, ...]
) -> jax.Array:
    tile = jnp.zeros(shape, pieces[0].dtype)
    for piece, start in zip(pieces, starts, strict=True):
        tile = jax.lax.dynamic_update_slice(tile, piece, start)
    return tile
