"""What a fleet says of itself, as documents."""

from __future__ import annotations

from typing import Any


def group(group_id: str = "g0", **words: Any) -> dict[str, Any]:
    usual = {
        "id": group_id, "is_open": True, "state": "open", "num_restarts": 0, "why": "", "pid": 7,
        "host": "n-0", "devices": ["n-0:0"], "tensor": 1, "pipeline": 1, "models": ["m"], "in_flight": 0,
        "waiting": 0, "running": 0, "num_recompiles": 0, "stage_busy_s": [1.0], "stage_utilisation": [0.25],
    }  # fmt: skip
    return usual | words


def model(**words: Any) -> dict[str, Any]:
    usual = {
        "engine": "emulated", "generates": False, "state": "READY", "reason": "", "num_served": 10,
        "num_failed": 1, "slo_attainment": 0.9, "mean_latency_s": 0.0123, "predicted_loss": 0.0,
        "prediction_error_ratio": 1.01, "stage_time_ratio": {"g0": {"ratio": 1.1, "num_samples": 3}},
    }  # fmt: skip
    return usual | words


def status(**words: Any) -> dict[str, Any]:
    usual = {
        "fleet": "f", "state": "ready", "is_ready": True, "is_converged": True, "uptime_s": 12.0,
        "engines": ["emulated"], "endpoints": {"grpc": "127.0.0.1:8001", "metrics": "127.0.0.1:8002"},
        "plan": {"id": "p", "algorithm": "greedy"}, "num_pending": 3, "problems": [], "groups": [group()],
        "models": {"m": model()},
    }  # fmt: skip
    return usual | words
