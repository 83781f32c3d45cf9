"""What cannot be served as asked is known before anything starts."""

from __future__ import annotations

import pytest

from controller.life.fleet_specs import worker_specs
from vocabulary.deployment import Deployment, ModelSpec
from vocabulary.errors import InvalidInput
from vocabulary.generation import GenerationSettings, StepTimes
from vocabulary.mesh import Cluster, NodeClass
from vocabulary.parallel import ParallelConfig
from vocabulary.placement import Group, Placement
from vocabulary.profile import ProfileEntry, Provenance, profile_of

PLACEMENT = Placement((Group("g0", ("n-0:0",), ParallelConfig(), ("chat",)),))


def deployment(max_model_len: int, **settings: int) -> Deployment:
    """A page of 4 tokens takes 40 bytes; weights leave 900."""
    entry = ProfileEntry(
        ParallelConfig(),
        (100,),
        {},
        {1: (0.1,)},
        step_times=(StepTimes(0.1, 0.0),),
        kv_bytes_per_token=(10,),
    )
    profile = profile_of("chat", "cpu", [entry], provenance=Provenance("imported"))
    model = ModelSpec(
        "chat",
        source="random://llama-tiny",
        profile=profile,
        generation=GenerationSettings(page_tokens=4, **settings),
        max_model_len=max_model_len,
    )
    return Deployment("d", Cluster((NodeClass("n", 1, "cpu", 1, 1000),)), (model,))


@pytest.mark.parametrize(("settings", "num_tokens"), [({"num_pages": 12}, 48), ({}, 88)])
def test_a_context_longer_than_the_cache_is_refused(settings: dict[str, int], num_tokens: int) -> None:
    (spec,) = worker_specs(deployment(num_tokens, **settings), PLACEMENT, key="")
    assert spec.limits["chat"].num_pages * 4 == num_tokens
    words = f"max_model_len of chat is {num_tokens + 1}, its cache .* holds {num_tokens} tokens"
    with pytest.raises(InvalidInput, match=words):
        worker_specs(deployment(num_tokens + 1, **settings), PLACEMENT, key="")
