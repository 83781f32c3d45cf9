"""Moves for tests: the paper's cases, and seeded random ones."""

from __future__ import annotations

import random

from resharding.moves import Move, Placed, on_hosts
from vocabulary.sharding import Sharding

Mesh = tuple[int, int]
Spec = tuple[str, ...]
# Name -> source mesh, target mesh, shape, source spec, target spec ("h" and "d" are the axes that shard a
# dimension), and makespan by lower bound of whole broadcasts under naive, size, dfs and greedy scheduling.
# From the paper's benchmark suite (2 GiB of int32), without the one that is there twice.
PAPER: dict[str, tuple[Mesh, Mesh, tuple[int, ...], Spec, Spec, tuple[float, ...]]] = {
    "case1": ((2, 4), (2, 4), (1024, 1024, 512), ("h", "", ""), ("h", "", ""), (1, 1, 1, 1)),
    "case2": ((2, 4), (2, 4), (1024, 1024, 512), ("", "", ""), ("h", "", ""), (2, 1, 1, 1)),
    "case3": ((2, 4), (2, 4), (1024, 1024, 512), ("", "h", ""), ("h", "", ""), (1.5, 1.5, 1, 1)),
    "case4": ((2, 4), (2, 4), (1024, 1024, 512), ("", "hd", ""), ("hd", "", ""), (1.875, 1.875, 1.875, 1)),
    "case5": ((2, 4), (2, 4), (1024, 1024, 512), ("d", "", ""), ("h", "", ""), (2, 1.5, 1, 1)),
    "case6": ((2, 4), (3, 4), (3072, 1024, 170), ("h", "", ""), ("h", "", ""), (2, 2, 1, 1)),
    "case7": ((1, 4), (2, 4), (1024, 1024, 512), ("d", "", ""), ("", "", ""), (1, 1, 1, 1)),
    "case9": ((2, 4), (2, 4), (1024, 1024, 512), ("", "h", ""), ("", "", "h"), (1.5, 1.5, 1, 1)),
}  # fmt: skip


def placed(mesh: Mesh, spec: Spec, hosts: tuple[int, ...]) -> Placed:
    axes = (("h", mesh[0]), ("d", mesh[1]))
    return Placed(Sharding(axes, tuple(tuple(dim) for dim in spec)), on_hosts(hosts, mesh[1]))


def move(
    source: Mesh,
    target: Mesh,
    shape: tuple[int, ...],
    source_spec: Spec,
    target_spec: Spec,
    *,
    shared: int = 0,
) -> Move:
    """On hosts 0, 1, ... and then on the next ones; the target's first `shared` are the source's last."""
    first = source[0] - shared
    return Move(
        shape,
        4,
        placed(source, source_spec, tuple(range(source[0]))),
        (placed(target, target_spec, tuple(range(first, first + target[0]))),),
    )


def random_move(rng: random.Random, *, is_shared: bool = False, sizes: tuple[int, int] = (33, 300)) -> Move:
    """1 to 8 hosts of 1 to 8 devices on either side; dimensions that the shards need not divide."""
    num_dims = rng.randint(2, 3)
    shape = tuple(rng.randint(*sizes) for _ in range(num_dims))
    source, target = ((rng.randint(1, 8), rng.randint(1, 8)) for _ in range(2))
    shared = rng.randint(0, min(source[0], target[0])) if is_shared else 0
    specs = [_random_spec(rng, num_dims) for _ in range(2)]
    return move(source, target, shape, *specs, shared=shared)


def random_moves(rng: random.Random) -> list[Move]:
    """One to four tensors from one mesh, or two that hold them all, to one to three others."""
    source = (rng.randint(1, 4), rng.randint(1, 4))
    targets = [(rng.randint(1, 3), rng.randint(1, 4)) for _ in range(rng.randint(1, 3))]
    replicas = [(2, 2)] * rng.randint(0, 1)
    hosts, meshes = 0, []
    for mesh in (source, *targets, *replicas):
        meshes.append((mesh, tuple(range(hosts, hosts + mesh[0]))))
        hosts += mesh[0]
    moves = []
    for _ in range(rng.randint(1, 4)):
        num_dims = rng.randint(2, 3)
        shape = tuple(rng.randint(33, 300) for _ in range(num_dims))
        first, *rest = (placed(mesh, _random_spec(rng, num_dims), hosts) for mesh, hosts in meshes)
        ends = len(targets)
        moves.append(Move(shape, 4, first, tuple(rest[:ends]), tuple(rest[ends:])))
    return moves


def _random_spec(rng: random.Random, num_dims: int) -> Spec:
    dims = [""] * num_dims
    for axis in rng.sample("hd", 2):
        dim = rng.randint(-1, num_dims - 1)
        if dim >= 0:
            dims[dim] += axis
    return tuple(dims)
