"""Structured logs on standard error: ids, types and timings, never bodies or credentials."""

import logging
import sys

import structlog

from connector.settings import Settings

# These print bodies, headers or addresses at their finer levels.
TALKATIVE = ("chargebee", "httpx", "httpcore", "urllib3", "requests", "rq.worker", "rq.queue", "alembic", "apprise")


def configure(settings: Settings) -> None:
    """Send all logs of this process to standard error in the configured format and from the configured level on."""
    level = logging.getLevelNamesMapping()[settings.log_level]
    renderer = structlog.processors.JSONRenderer() if settings.log_format == "json" else structlog.dev.ConsoleRenderer()
    shared: list[structlog.typing.Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.format_exc_info,
    ]
    structlog.configure(
        processors=[*shared, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(structlog.stdlib.ProcessorFormatter(processor=renderer, foreign_pre_chain=shared))
    logging.basicConfig(level=level, handlers=[handler], force=True)
    for name in TALKATIVE:
        logging.getLogger(name).setLevel(max(level, logging.WARNING))
