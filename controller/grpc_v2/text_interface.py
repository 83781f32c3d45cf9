"""What a model that generates takes and gives over v2. The names are those of Triton's text backends."""

from __future__ import annotations

from dataclasses import replace

from controller.calls import ModelView
from vocabulary.tensors import TensorSpec

TEXT_INPUT = TensorSpec("text_input", "BYTES", (1,))
INPUT_IDS = TensorSpec("input_ids", "INT32", (-1,))  # INT64 as well
STREAM = TensorSpec("stream", "BOOL", (1,))
MAX_TOKENS = TensorSpec("max_tokens", "INT32", (1,))
# As Triton's vLLM backend has them: sampling as JSON, and whether the answer leaves the prompt out (it does).
SAMPLING_PARAMETERS = TensorSpec("sampling_parameters", "BYTES", (1,))
EXCLUDE_INPUT = TensorSpec("exclude_input_in_output", "BOOL", (1,))

TEXT_OUTPUT = TensorSpec("text_output", "BYTES", (1,))
OUTPUT_IDS = TensorSpec("output_ids", "INT32", (-1,))
# Where `logprobs` is asked for: of each token, and of the most probable ones at its place.
OUTPUT_LOGPROBS = TensorSpec("output_logprobs", "FP32", (-1,))
TOP_IDS = TensorSpec("top_ids", "INT32", (-1, -1))
TOP_LOGPROBS = TensorSpec("top_logprobs", "FP32", (-1, -1))

_OPTIONS = (STREAM, MAX_TOKENS, SAMPLING_PARAMETERS, EXCLUDE_INPUT)
INPUTS = {spec.name: spec for spec in (TEXT_INPUT, INPUT_IDS, *_OPTIONS)}
OUTPUTS = {spec.name: spec for spec in (TEXT_OUTPUT, OUTPUT_IDS, OUTPUT_LOGPROBS, TOP_IDS, TOP_LOGPROBS)}


def optional_inputs(view: ModelView) -> frozenset[str]:
    """Names of inputs that a request may leave out. Of text_input and input_ids, one is needed."""
    return frozenset() if view.generation is None else frozenset(INPUTS) - {view.inputs[0].name}


def shown(view: ModelView, *, has_text: bool) -> ModelView:
    """The model as its metadata show it; one without generation as it is. has_text: it has a tokenizer."""
    generation = view.generation
    if generation is None:
        return view
    prompts = (TEXT_INPUT, INPUT_IDS) if has_text else (INPUT_IDS,)
    told = {"task": "generate", "max_model_len": str(generation.max_model_len)}
    return replace(
        view,
        inputs=(*prompts, *_OPTIONS),
        outputs=(TEXT_OUTPUT, OUTPUT_IDS) if has_text else (OUTPUT_IDS,),
        properties={**view.properties, **told},
    )
