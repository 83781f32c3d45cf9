"""Model shapes that tests of estimates share."""

from vocabulary.model_shape import ModelShape


def gpt(layers: int, hidden: int, heads: int, *, vocab: int = 51200) -> ModelShape:
    """As Alpa's benchmarks build their "bert" models: untied tables and 2,048 positions."""
    return ModelShape(
        layers, hidden, heads, heads, hidden // heads, 4 * hidden, vocab, num_positions=2048, is_tied=False
    )


# alpa-projects/alpa, benchmark/alpa/suite_manual_gpt.py; the largest by its number of parameters.
BERTS = {
    "bert-1.3b": gpt(24, 2048, 32),
    "bert-2.6b": gpt(32, 2560, 32),
    "bert-6.7b": gpt(32, 4096, 32),
    "bert-103.5b": gpt(128, 8192, 64),
}
