"""What the cache of keys and values of a model that generates takes at least, wherever it is placed."""

from __future__ import annotations

from vocabulary.deployment import ModelSpec, Workload
from vocabulary.parallel import ParallelConfig

# A place that could hold fewer mean requests at once would serve one after the other.
_MIN_REQUESTS = 4


def least_cache_bytes(model: ModelSpec, config: ParallelConfig) -> tuple[int, ...]:
    """Bytes on each device of every stage [pipeline]; zeros for a model that does not generate.

    The told number of pages; without it, pages for four mean requests of its workload, and for the longest
    one that the deployment allows.
    """
    if not model.generates or model.profile is None:
        return (0,) * config.pipeline
    token_bytes = model.profile.entry(config).kv_bytes_per_token or (0,) * config.pipeline
    settings = model.generation
    num_tokens = (settings.num_pages or _least_pages(model)) * settings.page_tokens
    return tuple(num_tokens * each for each in token_bytes)


def _least_pages(model: ModelSpec) -> int:
    workload = model.workload or Workload(0.0)
    mean_tokens = round(workload.input_tokens + workload.output_tokens)
    needed = max(_MIN_REQUESTS * mean_tokens, model.max_model_len or 0)
    return -(-needed // model.generation.page_tokens)
