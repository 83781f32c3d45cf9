"""One pipeline stage of a model that generates: some layers, their pages, one executable for every shape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, final

import jax
import numpy as np
from jax import numpy as jnp
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from resharding.executor import is_copied_here, move, reserve
from vocabulary.messages import NO_MOVES, PageMoves
from workers.attention.interface import AttentionBackend, Cache
from workers.families.family import Attend
from workers.generation.host_step import Draw
from workers.generation.sampler import Sampler
from workers.generation.shapes import StepArrays, StepBucket, StepShapes
from workers.generation.stage_pages import StagePages
from workers.stages import HIDDEN, StagePlan, Weights, bytes_on_fullest, delete_arrays

# What the last stage gives, of the sampler's own form; logits of no use where nothing is drawn.
DRAWN = "drawn"


@dataclass(frozen=True, slots=True)
class StepPart:
    """Rows of a step on their way through the stages, in one shape; `arrays` are the next stage's input.

    integers: as `StepShapes.view` takes them apart, for every stage. draws: of these rows; numbers: which of
    the step's they are. moves: of pages, before these rows.
    """

    bucket: StepBucket
    integers: np.ndarray
    draws: tuple[Draw, ...]
    numbers: tuple[int, ...]
    moves: PageMoves = NO_MOVES
    arrays: Mapping[str, Any] = field(default_factory=dict)


# So that jax.block_until_ready and jax.tree see the arrays.
jax.tree_util.register_dataclass(
    StepPart,
    data_fields=["arrays"],
    meta_fields=["bucket", "integers", "draws", "numbers", "moves"],
)


@final
class GenerationStage:
    """Parameters and pages on devices. One thread at a time runs it, and sees the parts in their order.

    sampler: of the last stage.
    """

    def __init__(
        self,
        plan: StagePlan,
        weights: Weights,
        mesh: Mesh,
        *,
        shapes: StepShapes,
        pages: StagePages,
        sampler: Sampler | None,
    ) -> None:
        self._plan = plan
        self._shapes = shapes
        self.pages = pages
        self._sampler = sampler
        self._params = {
            part: {name: weights[parameter] for name, parameter in table.items()}
            for part, table in plan.tables().items()
        }
        self._replicated = NamedSharding(mesh, PartitionSpec())
        self._executables: dict[StepBucket, Callable[..., Any]] = {}

    @property
    def num_compiles(self) -> int:
        """Executables made so far."""
        drawing = 0 if self._sampler is None else self._sampler.num_compiles
        return len(self._executables) + self.pages.num_compiles + drawing

    @property
    def weight_bytes(self) -> int:
        """Bytes of parameters on the fullest device of the stage."""
        return bytes_on_fullest(self._params)

    def compile(self, bucket: StepBucket) -> None:
        """Compile for one shape, unless that was done. Blocks."""
        if bucket in self._executables:
            return
        function = _stage_function(self._plan, self._shapes, bucket, self.pages.backend, self._replicated)
        jitted = jax.jit(function, donate_argnums=1, out_shardings=(self.pages.shardings, self._replicated))
        # Float32 means float32, also on accelerators whose default product is coarser.
        with jax.default_matmul_precision("highest"):
            lowered = jitted.lower(self._params, self.pages.caches, *self._input_structs(bucket))
        self._executables[bucket] = lowered.compile()

    def release(self) -> None:
        """Give the devices' memory back; it does not run any more."""
        delete_arrays((self._params, self.pages.caches))
        self.pages.release()
        self._executables.clear()

    def run(self, part: StepPart) -> Mapping[str, Any]:
        """Move pages, then dispatch the step; returns without waiting for it."""
        self.compile(part.bucket)
        if part.moves != NO_MOVES:
            self.pages.perform(part.moves)
        inputs = (part.integers,) if self._plan.is_first else (part.integers, self._hidden(part))
        self.pages.caches, x_RX = self._executables[part.bucket](self._params, self.pages.caches, *inputs)
        if self._sampler is None:
            return {HIDDEN: x_RX}
        # Without a draw there must still be something to wait for.
        return {DRAWN: self._sampler.draw(x_RX, part.draws) if part.draws else x_RX}

    def take(self, arrays: Mapping[str, Any]) -> Mapping[str, Any]:
        """Another stage's arrays on the devices of this one."""
        return {name: move(array, self._replicated) for name, array in arrays.items()}

    def is_copied(self, arrays: Mapping[str, Any]) -> bool:
        """Whether `take` copies another stage's arrays itself, while it is called."""
        return any(is_copied_here(array, self._replicated) for array in arrays.values())

    def blank(self, bucket: StepBucket) -> Mapping[str, Any]:
        """What the stage before gives, zeros."""
        if self._plan.is_first:
            return {}
        _, hidden = self._input_structs(bucket)
        return {HIDDEN: jax.device_put(np.zeros(hidden.shape, hidden.dtype), hidden.sharding)}

    def reserve(self, arrays: Mapping[str, Any], *, count: int) -> None:
        """Memory for what `take` copies of so many parts at once, so that none is needed later."""
        for array in arrays.values():
            reserve(array, self._replicated, count=count)

    def _hidden(self, part: StepPart) -> jax.Array:
        return move(part.arrays[HIDDEN], self._replicated)

    def _input_structs(self, bucket: StepBucket) -> tuple[jax.ShapeDtypeStruct, ...]:
        integers = jax.ShapeDtypeStruct(
            (self._shapes.num_integers(bucket),), np.int32, sharding=self._replicated
        )
        if self._plan.is_first:
            return (integers,)
        shape = (1, self._shapes.num_tokens(bucket), self._plan.config.hidden_size)
        return integers, jax.ShapeDtypeStruct(shape, self._plan.dtype, sharding=self._replicated)


def _stage_function(
    plan: StagePlan,
    shapes: StepShapes,
    bucket: StepBucket,
    backend: AttentionBackend,
    replicated: NamedSharding,
) -> Callable[..., tuple[tuple[Cache, ...], jax.Array]]:
    """params, caches, integers, and unless first x_1TD -> caches, and x_1TD or of the last logits_RV."""
    family, config = plan.family, plan.config

    def run(params: Any, caches: tuple[Cache, ...], integers: jax.Array, *hidden: jax.Array) -> Any:
        step = shapes.view(bucket, integers)
        positions_1T = step.positions_T[None]
        if plan.is_first:
            x_1TD = family.embed(config, params["embed"], step.ids_T[None], positions_1T)
        else:
            (x_1TD,) = hidden
        written = []
        for layer, cache in zip(plan.layers, caches, strict=True):
            attend = _attend(backend, cache, step, written.append)
            x_1TD = family.layer(config, params[str(layer)], x_1TD, positions_1T, attend)
            x_1TD = jax.lax.with_sharding_constraint(x_1TD, replicated)
        if not plan.is_last:
            return tuple(written), x_1TD
        logits_1RV = family.head(config, params["head"], x_1TD[:, step.out_R])
        return tuple(written), logits_1RV[0].astype(jnp.float32)

    return run


def _attend(
    backend: AttentionBackend, cache: Cache, step: StepArrays, keep: Callable[[Cache], None]
) -> Attend:
    """The step's tokens see those of their sequences, in the cache as it is with them written. It is kept."""

    def attend(q_1TNH: jax.Array, k_1TKH: jax.Array, v_1TKH: jax.Array) -> jax.Array:
        written = backend.write(cache, k_1TKH[0], v_1TKH[0], step.slots_T)
        keep(written)
        num_rows, num_tiles = step.tables_SM.shape[0], step.tables_CM.shape[0]
        q_TNH = q_1TNH[0]
        mixed_TNH = backend.decode(written, q_TNH[:num_rows], step.tables_SM, step.lengths_S)
        if num_tiles:
            q_CBNH = q_TNH[num_rows:].reshape(num_tiles, -1, *q_TNH.shape[1:])
            mixed_CBNH = backend.chunks(written, q_CBNH, step.tables_CM, step.starts_C, step.counts_C)
            mixed_TNH = jnp.concatenate([mixed_TNH, mixed_CBNH.reshape(-1, *q_TNH.shape[1:])])
        return mixed_TNH.reshape(1, mixed_TNH.shape[0], -1)

    return attend
