"""The journal: a line for every decision that touched a request or a plan, and what outlives a controller."""

from controller.journal.journal import ALL, NONE, REFUSED, AbstractJournal, Journal, NoJournal
from controller.journal.lines import SERVED, EventLine, RequestLine

__all__ = [
    "ALL", "NONE", "REFUSED", "SERVED", "AbstractJournal", "EventLine", "Journal", "NoJournal", "RequestLine",
]  # fmt: skip
