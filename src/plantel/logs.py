"""The log: lines on standard error, for people or as JSON."""

import logging
import sys
from typing import Literal

import structlog
from structlog.typing import Processor


def configure(level: Literal["debug", "info", "warning", "error", "critical"], form: Literal["text", "json"]) -> None:
    """Log from `level` up. Called once, before anything is logged."""
    if form == "json":
        last: list[Processor] = [structlog.processors.dict_tracebacks, structlog.processors.JSONRenderer()]
    else:
        last = [structlog.dev.ConsoleRenderer(colors=sys.stderr.isatty())]
    # what libraries say of a lost connection is raised as well, and then logged here in our own words
    logging.getLogger("psycopg").setLevel(logging.CRITICAL)
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            *last,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(level),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
        cache_logger_on_first_use=True,
    )
