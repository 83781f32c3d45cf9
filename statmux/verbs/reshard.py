"""`statmux reshard`: plan how a sharded tensor moves from one mesh to others, and its cost. Offline."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from statmux.durations import seconds
from statmux.render import Console, milliseconds, table
from vocabulary.errors import InvalidInput

if TYPE_CHECKING:
    from resharding.moves import Move
    from resharding.network import Network
    from resharding.planner import TransferPlan

app = typer.Typer(add_completion=False, rich_markup_mode=None)

ITEM_BYTES = {
    "float64": 8, "int64": 8, "float32": 4, "int32": 4, "float16": 2, "bfloat16": 2, "int16": 2,
    "int8": 1, "uint8": 1, "bool": 1, "float8_e4m3fn": 1, "float8_e5m2": 1,
}  # fmt: skip
# Past so many tasks the paper's greedy scheduler takes longer than a user waits.
MAX_TASKS = 4096
# Past so many pairs of devices finding the tasks does.
MAX_PAIRS = 2**16
# An exbibyte: far past any tensor, and all sums of bytes stay within 64 bits.
MAX_TENSOR_BYTES = 2**60
_LAYOUT = "(HOSTS,DEVICES):S0,R"


def _bandwidth(text: str) -> float:
    from vocabulary.units import parse_bandwidth

    try:
        found = parse_bandwidth(text)
    except ValueError as error:
        raise typer.BadParameter(str(error)) from None
    if not 0 < found < math.inf:
        raise typer.BadParameter(
            f"{text!r} is no speed of a link; write it like 300GB/s (bytes) or 100Gb/s (bits)"
        )
    return found


@app.command()
def reshard(
    ctx: typer.Context,
    shape: Annotated[str, typer.Option(help="Elements of each dimension: 4096,4096.", show_default=False)],
    source: Annotated[str, typer.Option(metavar=_LAYOUT, help="Where it lies.", show_default=False)],
    target: Annotated[
        list[str], typer.Option(metavar=_LAYOUT, help="Where it must lie; repeat to multicast.")
    ],
    dtype: Annotated[str, typer.Option(help="Type of an element.")] = "bfloat16",
    nic: Annotated[
        float, typer.Option(parser=_bandwidth, metavar="BANDWIDTH", help="Of one port of a host.")
    ] = "100Gb/s",  # type: ignore[assignment]
    intra: Annotated[
        float, typer.Option(parser=_bandwidth, metavar="BANDWIDTH", help="Of a device's link in its host.")
    ] = "100GB/s",  # type: ignore[assignment]
    latency: Annotated[
        float, typer.Option(parser=seconds, metavar="DURATION", help="Of a message between hosts.")
    ] = "10us",  # type: ignore[assignment]
    nics: Annotated[int, typer.Option(min=1, help="Ports of a host, striped.")] = 1,
    shared_hosts: Annotated[
        int, typer.Option(min=0, help="The first N hosts of the source are also every target's.")
    ] = 0,
    half_duplex: Annotated[bool, typer.Option("--half-duplex", help="A port sends or receives.")] = False,
    plot: Annotated[
        Path | None, typer.Option(help="Draw the messages over time: .svg or .png.", show_default=False)
    ] = None,
) -> None:
    """Plan a resharding: volumes, the lower bound, our plan, and the paper's strategies beside it.

    S0 shards a dimension over the hosts, S1 over the devices of a host, S01 over both, R replicates it. Every
    mesh has hosts of its own but for --shared-hosts. Times are estimated by the alpha-beta model.
    """
    from resharding.network import Network
    from resharding.planner import plan_transfer

    console = Console(ctx.obj)
    move = _move(_shape(shape), dtype, source, target, shared_hosts)
    network = Network(nic, intra, latency, nics, not half_duplex)
    plan_transfer([move], network)  # the first use imports and warms the solver
    plan = plan_transfer([move], network)
    document = _document(move, plan, network)
    if plot is not None:
        from statmux.reporting.transfer_chart import write_transfer_chart

        write_transfer_chart(plot, plan)
    console.result(document, lambda: _table(document))


def _shape(text: str) -> tuple[int, ...]:
    words = [word.strip() for word in text.split(",")]
    hint = "write the elements of each dimension, like 4096,4096"
    if not all(word.isdecimal() for word in words):
        raise InvalidInput(f"{text!r} is no shape", where="--shape", hint=hint)
    empty = [number for number, word in enumerate(words) if int(word) == 0]
    if empty:
        raise InvalidInput(f"{text!r} has 0 elements in dimension {empty[0]}", where="--shape", hint=hint)
    return tuple(int(word) for word in words)


def _move(shape: tuple[int, ...], dtype: str, source: str, targets: list[str], shared: int) -> Move:
    from resharding.layouts import parse_layout
    from resharding.moves import Move

    if dtype not in ITEM_BYTES:
        hint = f"choose among {', '.join(ITEM_BYTES)}"
        raise InvalidInput(f"unknown type {dtype!r}", where="--dtype", hint=hint)
    if math.prod(shape) * ITEM_BYTES[dtype] > MAX_TENSOR_BYTES:
        message = f"{shape} of {dtype} takes more than {MAX_TENSOR_BYTES // 2**60} EiB"
        raise InvalidInput(message, where="--shape", hint="check the number of elements")
    start = parse_layout(source, shape=shape, where="--source")
    ends = [parse_layout(text, shape=shape, where="--target") for text in targets]
    fewest = min(spec.num_hosts for spec in (start, *ends))
    if shared > fewest:
        message = f"{shared} shared hosts, and a mesh of {fewest}"
        raise InvalidInput(message, where="--shared-hosts", hint=f"share at most {fewest}")
    placed, next_host = [], start.num_hosts
    for end in ends:
        own = range(next_host, next_host + end.num_hosts - shared)
        placed.append(end.on((*range(shared), *own)))
        next_host += len(own)
    return Move(shape, ITEM_BYTES[dtype], start.on(tuple(range(start.num_hosts))), tuple(placed))


def _document(move: Move, plan: TransferPlan, network: Network) -> dict[str, Any]:
    return {
        "estimated": True,
        "lower_bound_s": plan.lower_bound_s,
        "makespan_s": plan.makespan_s,
        "ratio": plan.ratio,
        "plan_ms": 1e3 * plan.plan_s,
        "num_messages": len(plan.sends),
        "moved_bytes": sum(plan.bytes_in.values()),
        "bytes_in": plan.bytes_in,
        "bytes_out": plan.bytes_out,
        "classes": [
            {"senders": one.senders, "receivers": one.receivers, "num_bytes": one.num_bytes}
            for one in plan.classes
        ],
        "strategies": _strategies(move, network, plan.lower_bound_s),
    }


def _strategies(move: Move, network: Network, bound_s: float) -> dict[str, float | None]:
    """Seconds of each of the paper's strategies, with its best scheduler; None where they do not apply, or
    would take minutes to find.

    They know neither bytes that are there already nor hosts that send and receive. Their formulas have no
    slow links inside a host: what the bound says of these holds for them too.
    """
    from resharding.baselines.schedulers import makespan_s
    from resharding.baselines.strategies import STRATEGIES
    from resharding.baselines.tasks import tasks_of

    hosts = {host for host, _ in move.source.devices}
    is_theirs = all(hosts.isdisjoint(host for host, _ in target.devices) for target in move.targets)
    num_pairs = len(move.source.devices) * sum(len(target.devices) for target in move.targets)
    if not is_theirs or not network.is_full_duplex or num_pairs > MAX_PAIRS:
        return dict.fromkeys(STRATEGIES)
    tasks = tasks_of([move])
    scheduler = "greedy" if len(tasks) <= MAX_TASKS else "size"
    return {
        name: max(bound_s, makespan_s(tasks, network, strategy=name, scheduler=scheduler))
        for name in STRATEGIES
    }


def _table(document: dict[str, Any]) -> str:
    from vocabulary.units import format_bytes

    bound_s = document["lower_bound_s"]
    ways = {"plan": document["makespan_s"], **document["strategies"], "lower bound": bound_s}
    rows = [
        (name, "not applicable" if took_s is None else _spoken(took_s), _ratio(took_s, bound_s))
        for name, took_s in ways.items()
    ]
    classes = [
        (_hosts(one["senders"]), _hosts(one["receivers"]), format_bytes(one["num_bytes"]))
        for one in document["classes"]
    ]
    hosts = sorted({*document["bytes_in"], *document["bytes_out"]})
    ports = [
        (host, *(format_bytes(document[way].get(host, 0)) for way in ("bytes_out", "bytes_in")))
        for host in hosts
    ]
    if not classes:
        where = "inside the hosts only" if bound_s else "nowhere: every device holds its part already"
        return f"Bytes move {where}.\n\nestimated time of the plan: {_spoken(document['makespan_s'])}"
    return "\n\n".join(
        [
            table(("held by hosts", "lacked by hosts", "bytes"), classes),
            table(("host", "sends", "receives"), ports),
            table(("estimated time of", "", "x bound"), rows),
            f"{document['num_messages']} messages, planned in {document['plan_ms']:.1f} ms",
        ]
    )


def _spoken(seconds: float) -> str:
    """Small moves take microseconds, which as milliseconds would be 0.0."""
    return f"{1e6 * seconds:.1f} us" if seconds < 1e-3 else milliseconds(seconds) or ""


def _ratio(took_s: float | None, bound_s: float) -> str:
    return "" if took_s is None or not bound_s else f"{took_s / bound_s:.3f}"


def _hosts(hosts: tuple[int, ...]) -> str:
    return ", ".join(map(str, hosts))
