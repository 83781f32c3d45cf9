"""Answers of a tiny Llama on this CPU: statmux beside transformers with static batches.

    python -m benchmarks.generation --rounds 5 --out generation.json

Both have the same float32 weights (random, of the shape of the byte-level Llama) and the same requests.
Lengths are mixed: uniform (prompts of 16 to 256 tokens, answers of 8 to 160), and as chats have them
(log-normal: prompts around 96, answers around 64, a few of hundreds). Concurrent: 16 requests are always
being answered; the peer answers 16 at a time, padded to the longest, until the longest answer of the batch is
there (`transformers.generate`, with its cache), on as many threads as --peer-threads says: where others use
the machine, torch's threads wait for each other. Then at offered rates, Poisson, as shares of what statmux
answered before; the peer takes up to 16 that wait when a batch ends, and nobody has a token before that.
Rounds are interleaved, the order alternates; tables show medians. Counted are tokens that were asked for.
TTFT: to the first token; TPOT: mean of each after it.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
import tempfile
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import median
from time import perf_counter

import numpy as np

from benchmarks.generating_fleet import MODEL, GeneratingFleet, open_fleet
from benchmarks.peers.static_batches import StaticBatches, save_llama
from controller.token_streams import GenerateCall
from vocabulary.sampling import Sampling

NUM_CONCURRENT = 16
UNIFORM, CHAT = "uniform", "chat"
PROMPT_TOKENS, ANSWER_TOKENS = (16, 256), (8, 160)
# Of log-normal lengths: mean, sigma of the logarithm, longest.
CHAT_PROMPT, CHAT_ANSWER = (96.0, 0.9, 256), (64.0, 1.1, 254)
VOCAB_SIZE = 257
_GREEDY = Sampling(temperature=0.0, ignores_eos=True)


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; due_s counts from the start of a round."""

    prompt_ids: tuple[int, ...]
    num_tokens: int
    due_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Told:
    """When an answer's first and last token came, from the start of the round."""

    first_s: float
    last_s: float


@dataclass(frozen=True, slots=True)
class Figures:
    """Of one round. Quantiles are of requests, in seconds."""

    tokens_per_s: float
    ttft_p50_s: float
    ttft_p99_s: float
    tpot_p50_s: float
    tpot_p99_s: float


Answer = Callable[[Sequence[Asked]], Awaitable[list[Told]]]


def drawn(number: int, *, seed: int, lengths: str = UNIFORM, rate_rps: float | None = None) -> list[Asked]:
    """Poisson arrivals, or all at once."""
    random = np.random.default_rng(seed)
    gaps_s = random.exponential(1.0 / rate_rps, size=number) if rate_rps else np.zeros(number)
    if lengths == UNIFORM:
        prompts, answers = (random.integers(*each, size=number) for each in (PROMPT_TOKENS, ANSWER_TOKENS))
    else:
        prompts, answers = (_log_normal(*each, number, random) for each in (CHAT_PROMPT, CHAT_ANSWER))
    return [
        Asked(tuple(random.integers(0, VOCAB_SIZE - 1, size=prompt).tolist()), answer, due_s)
        for prompt, answer, due_s in zip(
            prompts.tolist(), answers.tolist(), np.cumsum(gaps_s).tolist(), strict=True
        )
    ]


def _log_normal(mean: float, sigma: float, most: int, number: int, random: np.random.Generator) -> np.ndarray:
    drawn_lengths = np.exp(random.normal(np.log(mean) - sigma**2 / 2, sigma, size=number))
    return np.clip(np.round(drawn_lengths), 2, most).astype(int)


def figures(asked: Sequence[Asked], told: Sequence[Told]) -> Figures:
    num_tokens = sum(one.num_tokens for one in asked)
    ttft_s = [one.first_s - ask.due_s for ask, one in zip(asked, told, strict=True)]
    tpot_s = [
        (one.last_s - one.first_s) / (ask.num_tokens - 1)
        for ask, one in zip(asked, told, strict=True)
        if ask.num_tokens > 1
    ]
    first_s, last_s = min(ask.due_s for ask in asked), max(one.last_s for one in told)
    return Figures(
        num_tokens / (last_s - first_s),
        *np.quantile(ttft_s, [0.5, 0.99]).tolist(),
        *np.quantile(tpot_s, [0.5, 0.99]).tolist(),
    )


async def ours(fleet: GeneratingFleet, asked: Sequence[Asked]) -> list[Told]:
    """At most NUM_CONCURRENT at once where all are due at once, else as they are due."""
    begin_s = perf_counter()
    places = asyncio.Semaphore(NUM_CONCURRENT if asked[-1].due_s == 0.0 else len(asked))

    async def answer(ask: Asked) -> Told:
        await asyncio.sleep(max(0.0, ask.due_s - (perf_counter() - begin_s)))
        async with places:
            call = GenerateCall("r", MODEL, ask.prompt_ids, ask.num_tokens, sampling=_GREEDY)
            first_s, num_tokens = 0.0, 0
            async for news in fleet.front.generate(call):
                if isinstance(news, tuple):
                    first_s = first_s or perf_counter() - begin_s
                    num_tokens += len(news)
            assert num_tokens == ask.num_tokens, news
            return Told(first_s, perf_counter() - begin_s)

    return list(await asyncio.gather(*(answer(ask) for ask in asked)))


async def theirs(peer: StaticBatches, asked: Sequence[Asked]) -> list[Told]:
    """Batches of those that wait, in their order. Blocks the loop, on which nothing else runs."""
    begin_s = perf_counter()
    told: list[Told] = []
    waiting = list(asked)
    while waiting:
        now_s = perf_counter() - begin_s
        if waiting[0].due_s > now_s:
            await asyncio.sleep(waiting[0].due_s - now_s)
            continue
        batch = [ask for ask in waiting[:NUM_CONCURRENT] if ask.due_s <= now_s]
        waiting = waiting[len(batch) :]
        peer.generate([ask.prompt_ids for ask in batch], max(ask.num_tokens for ask in batch))
        end_s = perf_counter() - begin_s
        # A batch is told whole: its tokens come when it ends.
        told += [Told(end_s, end_s)] * len(batch)
    return told


async def measured(
    folder: Path, *, num_rounds: int, num_requests: int, shares: Sequence[float], peer_threads: int
) -> dict[str, dict[str, list[Figures]]]:
    """Of each load, of each engine, every round."""
    save_llama(folder / "model", vocab_size=VOCAB_SIZE)
    peer = StaticBatches(folder / "model", num_threads=peer_threads)
    fleet = open_fleet(
        folder,
        "source: model, max_model_len: 512, batching: {max_batch_size: 16, max_batch_tokens: 256}, "
        "kv_cache: {num_pages: 768, prefix_caching: false}",
    )
    try:
        engines: dict[str, Answer] = {
            "statmux": lambda asked: ours(fleet, asked),
            "transformers": lambda asked: theirs(peer, asked),
        }
        await _check_equal(fleet, peer)
        for answer in engines.values():  # not counted
            await answer(drawn(NUM_CONCURRENT, seed=0))
        found = {
            f"16 at once, {lengths}": await _rounds(engines, num_rounds, num_requests, lengths, None)
            for lengths in (UNIFORM, CHAT)
        }
        mean_tokens = sum(ANSWER_TOKENS) / 2
        served_rps = (
            median(one.tokens_per_s for one in found[f"16 at once, {UNIFORM}"]["statmux"]) / mean_tokens
        )
        for share in shares:
            rate_rps = share * served_rps
            label = f"{rate_rps:.1f}/s ({share:g})"
            found[label] = await _rounds(engines, max(1, num_rounds // 2), num_requests, UNIFORM, rate_rps)
        assert fleet.engine.num_recompiles == 0
        return found
    finally:
        fleet.close()


async def _check_equal(fleet: GeneratingFleet, peer: StaticBatches) -> None:
    """Both say the same, or there is nothing to compare."""
    (ask,) = drawn(1, seed=99)
    call = GenerateCall("r", MODEL, ask.prompt_ids, 20, sampling=_GREEDY)
    said = [one.token async for news in fleet.front.generate(call) if isinstance(news, tuple) for one in news]
    (expected,) = peer.generate([ask.prompt_ids], 20)
    assert said == expected, (said, expected)


async def _rounds(
    engines: dict[str, Answer], num_rounds: int, num_requests: int, lengths: str, rate_rps: float | None
) -> dict[str, list[Figures]]:
    found: dict[str, list[Figures]] = {name: [] for name in engines}
    for number in range(num_rounds):
        asked = drawn(num_requests, seed=1 + number, lengths=lengths, rate_rps=rate_rps)
        for name in sorted(engines, reverse=bool(number % 2)):
            found[name].append(figures(asked, await engines[name](asked)))
            print(f"round {number + 1}, {name}: {found[name][-1]}", file=sys.stderr)
    return found


def table(found: dict[str, dict[str, list[Figures]]]) -> str:
    lines = [
        "| load | engine | tokens/s | TTFT p50 | p99 | TPOT p50 | p99 |",
        "|---|---|---|---|---|---|---|",
    ]
    for load, engines in found.items():
        for name, rounds in engines.items():
            times_s = [median(getattr(one, key) for one in rounds) for key in Figures.__slots__[1:]]
            rate = median(one.tokens_per_s for one in rounds)
            shown = " | ".join(f"{seconds * 1e3:.1f} ms" for seconds in times_s)
            lines.append(f"| {load} | {name} | {rate:.0f} | {shown} |")
    lines.append("")
    for lengths in (UNIFORM, CHAT):
        pairs = list(zip(*found[f"16 at once, {lengths}"].values(), strict=True))
        ratios = [one.tokens_per_s / other.tokens_per_s for one, other in pairs]
        lines.append(
            f"tokens/s at 16 at once, {lengths} lengths, statmux / transformers in {len(ratios)} pairs: "
            f"median {median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}; bar 3)"
        )
    return "\n".join(lines)


def main() -> int:
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--requests", type=int, default=128, help="in a round")
    options.add_argument("--shares", type=float, nargs="*", default=[0.3, 0.6, 0.9], help="offered rates")
    options.add_argument("--peer-threads", type=int, default=2)
    options.add_argument("--out", type=Path, help="JSON of all rounds")
    chosen = options.parse_args()
    if chosen.rounds < 1 or chosen.requests < 2:
        options.error("at least one round of two requests")
    with tempfile.TemporaryDirectory() as folder:
        found = asyncio.run(
            measured(
                Path(folder),
                num_rounds=chosen.rounds,
                num_requests=chosen.requests,
                shares=chosen.shares,
                peer_threads=chosen.peer_threads,
            )
        )
    print(table(found))
    if chosen.out:
        document = {
            load: {name: [asdict(one) for one in rounds] for name, rounds in engines.items()}
            for load, engines in found.items()
        }
        chosen.out.write_text(json.dumps(document, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
