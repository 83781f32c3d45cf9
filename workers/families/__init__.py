"""Families of models as pure functions over parameter pytrees."""

from collections.abc import Mapping

from vocabulary.errors import InvalidInput
from vocabulary.formats.hub_config import HubConfig
from workers.families.bert import BERT
from workers.families.family import Family
from workers.families.gpt2 import GPT2
from workers.families.llama import LLAMA
from workers.families.llama_relatives import MISTRAL, QWEN2, QWEN3
from workers.families.mixtral import MIXTRAL
from workers.families.opt import OPT

# The key is config.json's `model_type` and the deployment file's `architecture`.
FAMILIES: Mapping[str, Family] = {
    "bert": BERT,
    "gpt2": GPT2,
    "llama": LLAMA,
    "mistral": MISTRAL,
    "mixtral": MIXTRAL,
    "opt": OPT,
    "qwen2": QWEN2,
    "qwen3": QWEN3,
}


def family_of(config: HubConfig, architecture: str = "auto") -> Family:
    """The family of a checkpoint. Raises InvalidInput if it is not implemented, or not the `architecture`."""
    model_type = config.values.get("model_type")
    if model_type not in FAMILIES:
        raise InvalidInput(
            f"model_type {model_type!r} is not implemented; there are {', '.join(FAMILIES)}",
            where=config.where,
        )
    if architecture not in ("auto", model_type):
        raise InvalidInput(
            f"the checkpoint is a {model_type} and the deployment says {architecture}",
            where=config.where,
            hint="write architecture: auto",
        )
    return FAMILIES[str(model_type)]
