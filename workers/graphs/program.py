"""A JAX function as a flat list of steps: calls inlined, scans unrolled, every value a number."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, final

import jax
from jax.extend import core

# Calls that compute what their inner jaxpr says -> the parameter that holds it.
CALLS: Mapping[str, tuple[str, ...]] = {
    "jit": ("jaxpr",),
    "pjit": ("jaxpr",),
    "closed_call": ("call_jaxpr",),
    "core_call": ("call_jaxpr",),
    "remat_call": ("call_jaxpr",),
    "checkpoint": ("jaxpr",),
    "remat": ("jaxpr",),
    "remat2": ("jaxpr",),
    "custom_jvp_call": ("call_jaxpr", "jvp_jaxpr"),
    "custom_vjp_call": ("call_jaxpr", "fun_jaxpr"),
    "custom_vjp_call_jaxpr": ("call_jaxpr", "fun_jaxpr"),
    "custom_lin": ("call_jaxpr",),
}
# A scan of more steps than this, all rounds together, stays one opaque step.
MAX_UNROLLED_STEPS = 50_000


@dataclass(frozen=True, slots=True)
class Step:
    """One primitive. `operands` and `results` are numbers of values."""

    primitive: core.Primitive
    options: Mapping[str, Any]
    operands: tuple[int, ...]
    results: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class Program:
    """`values` are the shape and type of every value; `constants` those that are known."""

    values: tuple[jax.ShapeDtypeStruct, ...]
    names: Mapping[int, str]
    constants: Mapping[int, Any]
    steps: tuple[Step, ...]
    parameters: tuple[int, ...]
    inputs: tuple[int, ...]
    outputs: tuple[int, ...]
    output_tree: Any


def read_program(function: Callable[..., Any], parameters: Any, *inputs: Any) -> Program:
    """Trace `function(parameters, *inputs)`. Arguments: arrays or jax.ShapeDtypeStruct.

    What the function raises while it is traced comes through unchanged.
    """
    structs = jax.tree.map(_struct, (parameters, *inputs))
    closed, output_struct = jax.make_jaxpr(function, return_shape=True)(*structs)
    paths, _ = jax.tree_util.tree_flatten_with_path(structs)
    flattener = _Flattener()
    arguments = [flattener.new(variable.aval) for variable in closed.jaxpr.invars]
    outputs = flattener.inline(closed, arguments)
    num_parameters = len(jax.tree.leaves(parameters))
    return Program(
        values=tuple(flattener.values),
        names={number: _name(path) for number, (path, _) in zip(arguments, paths, strict=True)},
        constants=flattener.constants,
        steps=tuple(flattener.steps),
        parameters=tuple(arguments[:num_parameters]),
        inputs=tuple(arguments[num_parameters:]),
        outputs=tuple(outputs),
        output_tree=jax.tree.structure(output_struct),
    )


@final
class _Flattener:
    """Collects steps while jaxprs inside jaxprs are walked."""

    def __init__(self) -> None:
        self.values: list[jax.ShapeDtypeStruct] = []
        self.constants: dict[int, Any] = {}
        self.steps: list[Step] = []

    def new(self, aval: Any) -> int:
        self.values.append(jax.ShapeDtypeStruct(aval.shape, aval.dtype))
        return len(self.values) - 1

    def constant(self, value: Any) -> int:
        number = self.new(jax.typeof(value))
        self.constants[number] = value
        return number

    def inline(self, closed: Any, arguments: Sequence[int]) -> list[int]:
        """The numbers of the results of a closed jaxpr, or of an open one without constants."""
        jaxpr = getattr(closed, "jaxpr", closed)
        numbers = dict(zip(jaxpr.invars, arguments, strict=True))
        numbers |= {
            variable: self.constant(value)
            for variable, value in zip(jaxpr.constvars, getattr(closed, "consts", ()), strict=True)
        }

        def number(atom: Any) -> int:
            return self.constant(atom.val) if isinstance(atom, core.Literal) else numbers[atom]

        for equation in jaxpr.eqns:
            operands = [number(atom) for atom in equation.invars]
            numbers |= zip(equation.outvars, self._step(equation, operands), strict=True)
        return [number(atom) for atom in jaxpr.outvars]

    def _step(self, equation: Any, operands: list[int]) -> list[int]:
        kind = equation.primitive.name
        inner = next((equation.params[key] for key in CALLS.get(kind, ()) if key in equation.params), None)
        if inner is not None:
            return self.inline(inner, operands)
        if kind == "scan" and _num_unrolled(equation) <= MAX_UNROLLED_STEPS:
            return self._unroll(equation.params, operands)
        results = [self.new(variable.aval) for variable in equation.outvars]
        self.steps.append(Step(equation.primitive, equation.params, tuple(operands), tuple(results)))
        return results

    def _unroll(self, options: Mapping[str, Any], operands: list[int]) -> list[int]:
        num_consts, num_carry = options["num_consts"], options["num_carry"]
        consts, carry = operands[:num_consts], operands[num_consts : num_consts + num_carry]
        columns = operands[num_consts + num_carry :]
        rounds = range(options["length"])
        stacked: list[list[int]] = []
        for index in reversed(rounds) if options["reverse"] else rounds:
            rows = [self._call(_row_at(index), [column]) for column in columns]
            results = self.inline(options["jaxpr"], [*consts, *carry, *rows])
            carry = results[:num_carry]
            stacked.append(results[num_carry:])
        if options["reverse"]:
            stacked.reverse()
        return [*carry, *(self._call(_stack, list(column)) for column in zip(*stacked, strict=True))]

    def _call(self, function: Callable[..., Any], operands: list[int]) -> int:
        closed = jax.make_jaxpr(function)(*(self.values[operand] for operand in operands))
        (result,) = self.inline(closed, operands)
        return result


def _row_at(index: int) -> Callable[[jax.Array], jax.Array]:
    return lambda column: jax.lax.index_in_dim(column, index, keepdims=False)


def _stack(*rows: jax.Array) -> jax.Array:
    return jax.lax.concatenate([jax.lax.expand_dims(row, [0]) for row in rows], 0)


def _num_unrolled(equation: Any) -> int:
    return int(equation.params["length"]) * len(equation.params["jaxpr"].jaxpr.eqns)


def _struct(value: Any) -> jax.ShapeDtypeStruct:
    kind = jax.typeof(value) if not isinstance(value, jax.ShapeDtypeStruct) else value
    return jax.ShapeDtypeStruct(kind.shape, kind.dtype)


def _name(path: Sequence[Any]) -> str:
    """a.b.0 for ['a']['b'][0], without the number of the argument."""
    words = [str(getattr(key, "key", getattr(key, "name", getattr(key, "idx", key)))) for key in path[1:]]
    return ".".join(words)
