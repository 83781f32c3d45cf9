"""Deployments, plans and profiles of small fleets, as files."""

from __future__ import annotations

import json
from pathlib import Path

from workers.training.byte_llamas import PREFIX, SIZES, first_weights, parsed
from workers.training.checkpoint import save_checkpoint

BERT, GPT2 = "random://bert-tiny?seed=3", "random://gpt2-tiny?seed=4"
# Its tokens are bytes, and a chat is what was said in it: so text can be counted in tokens.
CHAT_SIZE = dict(SIZES["test"]) | {"tie_word_embeddings": False}
# Pages for one and a half of the longest answers: four at once take them from each other.
CHAT_LENGTH, CHAT_PAGES = 64, 12
SEQUENCE_LENGTH = 16
SLOW_STAGE_S, SLOW_SLO_S = 0.3, 0.95

_HEAD = """\
api_version: v1alpha1
kind: Deployment
metadata: {{name: {name}}}
cluster:
  address: {address}
  nodes:
  - {{name: n, count: {hosts}, devices: {{type: cpu, count: 4, memory: {memory}}}}}
models:
"""
_MIXED_MODELS = f"""\
- name: bert
  source: {BERT}
  profile: fast.json
  aliases: [encoder]
  batch_sizes: [1, 2]
  sequence_lengths: [{SEQUENCE_LENGTH}]
- {{name: gpt2, source: "{GPT2}", profile: fast.json, sequence_lengths: [{SEQUENCE_LENGTH}]}}
- name: chat
  source: ./chat
  task: generate
  profile: chat.json
  max_model_len: {CHAT_LENGTH}
  batching: {{max_batch_size: 4, max_batch_tokens: 32}}
  kv_cache: {{num_pages: {CHAT_PAGES}, block_size: 8}}
- {{name: fast, engine: emulated, profile: fast.json}}
- {{name: slow, engine: emulated, profile: slow.json, slo: {{latency_ms: {SLOW_SLO_S * 1e3:g}}}}}
- {{name: homeless, engine: emulated, profile: huge.json}}
# Workers that tests hold still are not dead.
serving: {{health: {{beat_timeout_s: 60}}}}
"""
_MIXED_PLAN = """\
api_version: v1alpha1
kind: PlacementPlan
groups:
- {id: g0, devices: ["n-0:0", "n-0:1"], tensor: 2, pipeline: 1, models: [bert, gpt2]}
- {id: g2, devices: ["n-0:2", "n-0:3"], tensor: 1, pipeline: 2, models: [bert, chat]}
- {id: g1, devices: ["n-1:0", "n-1:1"], tensor: 1, pipeline: 2, models: [fast, slow]}
"""


def write_mixed_fleet(folder: Path) -> Path:
    """bert and gpt2 computed on g0, where 2 devices share each layer, and bert on g2 too, in 2 stages, where
    chat generates beside it; fast and slow emulated on g1, in 2 stages.

    slow: two stages of 0.3 s and an SLO of 0.95 s, so a second request at the same time still makes it and a
    third does not. homeless is in no group, and no device has room for it.
    """
    write_profile(folder / "fast.json", stage_s=0.002)
    write_profile(folder / "slow.json", stage_s=SLOW_STAGE_S)
    write_profile(folder / "huge.json", stage_s=0.002, weight_bytes=4 * 10**9)
    write_profile(folder / "chat.json", stage_s=0.002, generates=True)
    write_chat(folder / "chat")
    head = _HEAD.format(name="mixed", address="local", hosts=2, memory="1GiB")
    (folder / "deployment.yaml").write_text(head + _MIXED_MODELS)
    (folder / "plan.yaml").write_text(_MIXED_PLAN)
    return folder


def write_chat(folder: Path) -> None:
    """A Llama that has learned nothing, with a tokenizer and a chat template."""
    weights = first_weights(parsed(CHAT_SIZE), seed=5)
    weights["lm_head.weight"] = weights.pop(f"{PREFIX}lm_head.weight")
    save_checkpoint(folder, size=CHAT_SIZE, weights=weights)


def write_small_fleet(
    folder: Path,
    *,
    models: str = "{engine: emulated}",
    stage_s: float = 0.002,
    num_groups: int = 1,
    address: str = "local",
    memory: str = "1GiB",
) -> Path:
    """Models m0, m1, ... each alone on one device, in groups g0, g1, ...; `models` is YAML they all share."""
    write_profile(folder / "profile.json", stage_s=stage_s)
    head = _HEAD.format(name="small", address=address, hosts=1, memory=memory)
    shared = models.strip("{}")
    lines = [f"- {{name: m{index}, profile: profile.json, {shared}}}\n" for index in range(num_groups)]
    (folder / "deployment.yaml").write_text(head + "".join(lines))
    groups = [
        f'- {{id: g{index}, devices: ["n-0:{index}"], tensor: 1, pipeline: 1, models: [m{index}]}}\n'
        for index in range(num_groups)
    ]
    plan = "api_version: v1alpha1\nkind: PlacementPlan\ngroups:\n" + "".join(groups)
    (folder / "plan.yaml").write_text(plan)
    return folder


def write_profile(
    path: Path, *, stage_s: float, weight_bytes: int = 2_000_000, generates: bool = False
) -> None:
    """The same latency for every stage of every configuration with up to 2 devices."""
    entries = [
        {
            "tensor": tensor,
            "pipeline": pipeline,
            "weight_bytes": [weight_bytes // tensor // pipeline] * pipeline,
            "activation_bytes": {"1": [4096] * pipeline},
            "stage_latency_s": {"1": [stage_s] * pipeline},
            **(_of_steps(stage_s, pipeline) if generates else {}),
        }
        for tensor, pipeline in ((1, 1), (2, 1), (1, 2))
    ]
    profile = {
        "api_version": "v1alpha1",
        "kind": "ModelProfile",
        "model": path.stem,
        "device_type": "cpu",
        "sequence_length": SEQUENCE_LENGTH,
        "provenance": {"kind": "imported", "note": "made up for a test"},
        "entries": entries,
    }
    path.write_text(json.dumps(profile))


def _of_steps(constant_s: float, pipeline: int) -> dict[str, object]:
    times = {"constant_s": constant_s, "token_s": 1e-4, "kv_token_s": 1e-6}
    return {"step_times": [times] * pipeline, "kv_bytes_per_token": [1024] * pipeline}
