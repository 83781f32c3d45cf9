"""The page of metrics: every family, from the catalogue in the code."""

from __future__ import annotations

from collections.abc import Iterator

from controller.compat_metrics import KINDS
from controller.metric_families import PARTS
from controller.metric_family import Family
from docs.generators.markdown import code, notice, table

PROSE = """# Metrics

`http://127.0.0.1:8002/metrics` (`observability.metrics`), for Prometheus, in its text format. On this
machine the port asks for no token, beyond it for one with the scope `metrics` or `admin`
([security](../security.md)). Further front ends (`serving.front_ends`) have a port each, `port` + 1 and so
on: scrape all of them; `status` lists them. How to scrape, and what to watch:
[monitor](../how-to/monitor.md).

Times are seconds, sizes bytes, ratios 0 to 1. Counters end with `_total` and start at 0 with the process;
histograms have `_bucket`, `_sum` and `_count`. No label holds an id or words of a client.

| source | |
| --- | --- |
| counted | by the front end that answered, of its own calls: sum over front ends |
| told | by the groups' heartbeats, and as old as the last one (`serving.health.beat_interval_s`): all front ends tell the same, so take `max` over them, not the sum |
| fleet | by the fleet's own process, which is the first front end |

| label | |
| --- | --- |
| `model` | name in the deployment, of a version `model@version`; empty where a call named none that there is |
| `group` | id in the plan |
| `stage` | of the group's pipeline, from 0 |
| `node`, `device` | host, and `host:index`, as in plans |
| `slo_class` | always `default`: there are no classes of priority |
| `le` | upper bound of a bucket |

There is no label `adapter`: the fleet serves no adapters.
"""  # noqa: E501
MEMORY = """
### Memory of devices

`statmux_device_memory_used_bytes` is measured where the device can say it: on NVIDIA GPUs and TPUs it is
what the allocator of the group's process has given out, activations and all. CPU devices have no memory of
their own, and emulated groups hold nothing: of these it is what the models have reserved, weights and pages
of keys and values, counted array by array as they are sharded (of emulated ones by their profiles).
Buffers, and what a batch needs while it runs, are not in that. `statmux_device_memory_total_bytes` is the
allocator's limit, or else `memory` of the node class; `_busy_ratio` is the share of time in which a batch
was on the device's stage, not how well the device is used.

### Loads

A load is counted when its group says that the model is ready. Models of your own code (`python://`) and
emulated models have no weights, and no loads. `statmux_reshard_bytes_total` and the bytes of a load are
those of the group's first host.
"""
COMPAT = """
## Other servers' names

`observability.metrics.compat: [vllm, triton]` gives some of these numbers under the names of vLLM and
Triton, for dashboards, scalers and routers that look for them. Off by default. They are made when they are
scraped, from the families above.

| `vllm` | from |
| --- | --- |
| `vllm:num_requests_waiting{model_name}`, `vllm:num_requests_running` | the queues and running requests of all groups |
| `vllm:kv_cache_usage_perc{model_name}` | the mean over the model's groups; 1 is full, as vLLM has it |
| `vllm:time_to_first_token_seconds{model_name}`, `vllm:e2e_request_latency_seconds` | histograms, with our buckets |
| `vllm:lora_requests_info{max_lora, running_lora_adapters, waiting_lora_adapters}` | `max_lora` 0 and no adapter: there are none |

| `triton` | from |
| --- | --- |
| `nv_inference_request_success{model, version}` | calls with the code `OK` |
| `nv_inference_request_failure{model, version, reason}` | the others; `REJECTED`, `CANCELED`, `BACKEND` or `OTHER` by their code |
| `nv_inference_pending_request_count{model, version}` | the queues of all groups |
| `nv_inference_queue_duration_us{model, version}` | the sum of the time in queues, in microseconds |

Triton's counters have no type here, since their names lack `_total`; `version` of a model without versions
is 1.
"""  # noqa: E501
_SOURCES = {"counted": "counted", "watched": "told", "fleet": "fleet"}


def page() -> str:
    """Markdown."""
    assert set(KINDS) == {"vllm", "triton"}, "tell of the new names, too"
    return notice("metrics") + PROSE + "".join(_parts()) + COMPAT


def _parts() -> Iterator[str]:
    for name, families in PARTS.items():
        yield f"\n## {name}\n\n"
        yield table(("metric", "type", "labels", "source", ""), (_row(family) for family in families))
        if name == "Groups and devices":
            yield MEMORY
    yield "\n## Buckets\n\n"
    histograms = [family for part in PARTS.values() for family in part if family.buckets]
    yield table(("histogram", "upper bounds, and infinity"), (_buckets(family) for family in histograms))


def _row(family: Family) -> tuple[str, ...]:
    values = [
        f"{code(label)}: {', '.join(code(value) for value in values)}."
        for label, values in (family.values or {}).items()
    ]
    labels = ", ".join(code(label) for label in family.labels)
    words = " ".join((family.words, *values))
    return code(family.name), family.kind, labels, _SOURCES[family.source], words


def _buckets(family: Family) -> tuple[str, str]:
    return code(family.name), ", ".join(f"{bound:g}" for bound in family.buckets)
