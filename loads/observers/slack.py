"""Tells of the end of a run in Slack, or in whatever takes what its incoming webhooks take."""

from __future__ import annotations

from typing import ClassVar

from loads.metrics.summary import RunView
from loads.observers.base import ObserverOption, details, headline
from loads.observers.webhook import checked_url, post

MAX_TEXT = 3_500  #: characters; Slack cuts messages off at 4,000


class SlackObserver:
    """Posts one message to an incoming webhook."""

    options: ClassVar[tuple[ObserverOption, ...]] = (
        ObserverOption("url", "", "the incoming webhook", secret=True),
    )

    def __init__(self, url: str = "") -> None:
        self._url = checked_url("slack", url)

    def tell(self, view: RunView) -> None:
        """Post it.  Raises ``OSError`` unless the answer is a success."""
        text = "\n".join([headline(view), *details(view)])[:MAX_TEXT]
        for char, entity in (("&", "&amp;"), ("<", "&lt;"), (">", "&gt;")):
            text = text.replace(char, entity)  # or a failure's message could mention everybody
        post(self._url, {"text": text})
