"""The call for text that a chat or a completion asks for."""

from __future__ import annotations

from controller.http.endpoint import Asked
from controller.http.sampling_parameters import SamplingParameters, sampling_of
from controller.http.wishes import wishes_of
from controller.text import TextCall


def text_call(
    asked: Asked,
    request: SamplingParameters,
    prompt: str | tuple[int, ...],
    *,
    max_tokens: int | None,
    num_logprobs: int | None,
    index: int = 0,
    adds_special: bool = True,
    goes_on: bool = False,
) -> TextCall:
    """index: of the prompt, where a request has several. The rest is as of TextCall. Raises Refused."""
    wishes = wishes_of(asked.headers)
    return TextCall(
        f"{asked.request_id}-{index}" if index else asked.request_id,
        request.model,
        prompt,
        max_tokens=max_tokens,
        num_samples=request.n,
        sampling=sampling_of(request, num_logprobs=num_logprobs),
        stop=request.stops,
        includes_stop=request.include_stop_str_in_output,
        adds_special=adds_special,
        skips_special=request.skip_special_tokens,
        goes_on=goes_on,
        timeout_s=wishes.timeout_s,
        slo_s=wishes.slo_s,
        ttft_s=wishes.ttft_s,
        tpot_s=wishes.tpot_s,
        tenant=asked.tenant,
        salt=request.cache_salt,
        priority=request.priority,
    )
