"""The oracle: Hugging Face transformers with torch, on CPU in float32. To import only where installed."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
import transformers

# Big enough that every operator shows in the output, biases and norms too.
SPREAD = 0.2


def save_random(config: transformers.PretrainedConfig, directory: Path, *, seed: int, **save) -> None:
    """Write a model of that configuration, all parameters random, as config.json and safetensors."""
    model = _model_class(config.model_type).from_config(config)
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = 1.0 if parameter.ndim == 1 and name.endswith("weight") else 0.0
            noise = torch.randn(parameter.shape, generator=generator, dtype=torch.float32)
            parameter.copy_(centre + SPREAD * noise)
    model.save_pretrained(directory, **save)


def compute(directory: Path, requests: list[dict[str, np.ndarray]]) -> list[np.ndarray]:
    """last_hidden_state or logits of every request ([rows, length] ids, perhaps a mask), each run alone."""
    config = transformers.AutoConfig.from_pretrained(directory)
    model = (
        _model_class(config.model_type)
        .from_pretrained(directory, dtype=torch.float32, attn_implementation="eager")
        .eval()
    )
    outputs = []
    for request in requests:
        tensors = {name: torch.as_tensor(np.asarray(array, np.int64)) for name, array in request.items()}
        with torch.no_grad():
            outputs.append(model(**tensors)[0].numpy())
    return outputs


def embed_texts(directory: Path, texts: list[str]) -> np.ndarray:
    """Mean pooling over tokens, then length 1, as all-MiniLM-L6-v2's modules.json says."""
    tokenizer = transformers.AutoTokenizer.from_pretrained(directory)
    model = transformers.AutoModel.from_pretrained(directory, dtype=torch.float32).eval()
    rows = []
    for text in texts:
        # max_seq_length of sentence_bert_config.json.
        tokens = tokenizer(text, truncation=True, max_length=256, padding=False, return_tensors="pt")
        with torch.no_grad():
            mean = model(**tokens).last_hidden_state.mean(1)
        rows.append(torch.nn.functional.normalize(mean, dim=-1).numpy()[0])
    return np.stack(rows)


def _model_class(model_type: str) -> type:
    is_encoder = model_type == "bert"
    return transformers.AutoModel if is_encoder else transformers.AutoModelForCausalLM
