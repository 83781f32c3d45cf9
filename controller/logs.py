"""Structured logs: readable on a terminal, one JSON object a line elsewhere; always on stderr."""

from __future__ import annotations

import logging
import sys

import structlog

from controller.tracing.asking import add_trace_id


def set_up_logs(*, log_format: str, level: str) -> None:
    """`log_format`: auto (console on a terminal, else json), console or json."""
    as_json = log_format == "json" or (log_format == "auto" and not sys.stderr.isatty())
    renderer = structlog.processors.JSONRenderer() if as_json else structlog.dev.ConsoleRenderer()
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            add_trace_id,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso"),
            structlog.processors.format_exc_info,
            renderer,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(getattr(logging, level.upper())),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=False,
    )
