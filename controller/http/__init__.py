"""The OpenAI-compatible endpoint over HTTP: a thin shell round a `Fleet` that decides, queues and counts."""

from controller.http.server import RunningHttp, start_http

__all__ = ["RunningHttp", "start_http"]
