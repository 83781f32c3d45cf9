"""Where the oracle group is installed: the committed answers are what transformers gives."""

import numpy as np
import pytest

from tests.workers.generation.tiny_models import CONFIGS, read_expected

_REASON = "the oracle is not installed: make oracle"
pytest.importorskip("torch", reason=_REASON)
pytest.importorskip("transformers", reason=_REASON)

from tests.workers.generation import generation_oracle  # noqa: E402  (needs torch)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_goldens_are_what_transformers_generates(name, tmp_path):
    expected = read_expected(name)
    tokens, logprobs = generation_oracle.best_after(name, tmp_path, expected)
    np.testing.assert_array_equal(tokens[..., 0], expected.answers)
    np.testing.assert_allclose(logprobs, expected.best_logprobs, atol=1e-4)


@pytest.mark.parametrize("name", CONFIGS)
def test_the_best_token_is_the_best_by_more_than_rounding(name):
    """Or else equal tokens would be chance: float32 sums differ by about 1e-6."""
    best = read_expected(name).best_logprobs
    assert (best[..., 0] - best[..., 1]).min() > 1e-4
