"""Why a request was not served, beyond what its client was told: what each reason means, and what helps."""

from __future__ import annotations

# By the value of `controller.calls.Reason`.
MEANINGS = {
    "slo_infeasible": "On every group that was open for the model its answer was predicted to come after its "
    "SLO or deadline, so nothing was computed for it. The same request asked again at once would be refused "
    "again; less load, another replica or a looser SLO helps.",
    "queue_full": "As many requests as `serving.policy.max_queued_requests`, or as its tenant may have, were "
    "waiting. It may be asked again a little later.",
    "not_placed": "No group of the plan holds the model. A plan that places it helps (`statmux apply`).",
    "unavailable": "Groups hold the model, but none was open for it: they were loading or lost. It may be "
    "asked again.",
    "draining": "The fleet was about to stop and took no new requests.",
    "deadline_exceeded": "It was accepted, and its deadline passed before it was answered.",
    "cancelled": "Its client went away or took it back.",
    "failed": "The model raised an error while it computed the answer.",
    "lost": "The worker that had begun to compute it died, so whether it has had an effect is not known. It "
    "may be asked again if it may be computed twice.",
    "not_loaded": "The model had been unloaded, and is not loaded on demand.",
    "unknown_model": "No model of the deployment has this name or alias.",
    "unknown_version": "The model has no such version.",
    "invalid_tensor": "Its tensors do not agree with what the model takes. Asked again as it was, it is "
    "refused again.",
    "invalid_parameter": "A parameter of it is wrong. Asked again as it was, it is refused again.",
    "invalid_request": "It is not well formed. Asked again as it was, it is refused again.",
    "context_length_exceeded": "Prompt and answer together are longer than the model can take.",
    "unauthenticated": "It came without a token that the fleet knows.",
    "permission_denied": "Its token is known, and not for this.",
    "unsupported": "What it asks for is not there in this version.",
}
