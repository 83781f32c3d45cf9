"""What `statmux init` writes as comments is valid too, and has the keys that a plan is asked by."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from vocabulary.formats.disk import load_deployment

TEMPLATE = Path(__file__).parents[1] / "deploy" / "examples" / "template.yaml"
# A key behind a `#`, which a sentence is not: it begins with a word that ends in a colon.
COMMENTED_KEY = re.compile(r"^( *)# ( *[a-z_]+:( .*)?)$", re.M)
OTHER_MODELS = "".join(
    f"  - {{name: {name}, source: random://bert-tiny, slo: {{latency_ms: 9}}, workload: {{rate_rps: 1}}}}\n"
    for name in ("bye", "chat")
)


def filled_in(text: str) -> str:
    """With the devices of some machine, and the models that the constraints name."""
    for key, value in (("@TYPE@", "cpu"), ("@COUNT@", "4"), ("@MEMORY@", "1GiB")):
        text = text.replace(key, value)
    return text.replace("models:\n", f"models:\n{OTHER_MODELS}", 1)


@pytest.mark.parametrize("has_comments", [True, False])
def test_the_template_is_valid_with_every_key_and_as_it_is(has_comments: bool, tmp_path: Path) -> None:
    text = TEMPLATE.read_text()
    path = tmp_path / "deployment.yaml"
    path.write_text(filled_in(text if has_comments else COMMENTED_KEY.sub(r"\1\2", text)))
    deployment = load_deployment(path, needs_profiles=False)
    assert deployment.accepted_only == ()
    assert deployment.security.allow_python_models is not has_comments


def test_every_key_of_the_template_that_is_off_is_found() -> None:
    keys = {found[2].split(":")[0].strip() for found in COMMENTED_KEY.finditer(TEMPLATE.read_text())}
    assert keys >= {"network", "constraints", "colocate", "separate", "pin", "reserved", "search", "security"}
    assert keys >= {"task", "max_model_len", "dtype", "attention", "batching", "kv_cache", "eviction"}
    assert keys >= {"num_host_pages", "fairness", "max_overtaken", "http", "auth", "tokens"}
