"""Which groups hold a model, each with what the cluster machine believes of the model there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from scheduling.dispatch import Candidate
from scheduling.generation_costs import GenerationCosts
from scheduling.generation_load import GenerationLoad
from scheduling.load import GroupLoad
from scheduling.sent_prefixes import SentPrefixes
from vocabulary.catalog import Catalog
from vocabulary.generation import GenerationLimits
from vocabulary.placement import Placement


def holders_of(
    placement: Placement,
    loads: tuple[GroupLoad, ...],
    catalog: Catalog,
    limits: Sequence[Mapping[str, GenerationLimits]],
    *,
    asks_for_prefixes: bool,
) -> Mapping[str, tuple[Candidate, ...]]:
    """Of every placed model, in plan order. limits: for each group, of its models that generate.

    asks_for_prefixes: whether the router wants to know what prompts find there.
    """
    by_model: dict[str, list[Candidate]] = {}
    for group, load, generating in zip(placement.groups, loads, limits, strict=True):
        for model in group.models:
            stages_s = catalog.costs(model, group.config).single
            model_load = sent = None
            if model in generating:
                costs = GenerationCosts(catalog.step_times(model, group.config), generating[model])
                model_load = GenerationLoad(costs)
                if asks_for_prefixes and generating[model].has_prefix_cache:
                    sent = SentPrefixes(generating[model])
            by_model.setdefault(model, []).append(Candidate(load, stages_s, model_load, sent))
    return {model: tuple(candidates) for model, candidates in by_model.items()}
