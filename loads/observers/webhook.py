"""Tells of the end of a run by a request to a URL."""

from __future__ import annotations

import json
from typing import Any, ClassVar

from loads.errors import UsageError
from loads.metrics.summary import RunView, summarise
from loads.observers.base import TIMEOUT, ObserverOption, headline


class WebhookObserver:
    """Posts the summary of the run, as ``--output json`` writes it, with a ``text`` beside it."""

    options: ClassVar[tuple[ObserverOption, ...]] = (
        ObserverOption("url", "", "where to POST the summary", secret=True),
    )

    def __init__(self, url: str = "") -> None:
        self._url = checked_url("webhook", url)

    def tell(self, view: RunView) -> None:
        """Post it.  Raises ``OSError`` unless the answer is a success."""
        post(self._url, {"text": headline(view), **summarise(view)})


def checked_url(observer: str, url: str) -> str:
    """A URL that can be posted to.  Raises :class:`UsageError`, which does not repeat it."""
    if not url.startswith(("http://", "https://")) or not url.isascii() or " " in url:
        raise UsageError(
            f"The observer {observer!r} needs a URL that starts with http:// or https://.",
            f"Give --observer-{observer}-url, or set LOADS_OBSERVER_{observer.upper()}_URL.",
        )
    return url


def post(url: str, body: dict[str, Any]) -> None:
    """Send JSON.  Raises ``OSError``; its message does not hold the URL, which may be a secret."""
    import urllib.error
    import urllib.request

    data, headers = json.dumps(body).encode(), {"Content-Type": "application/json"}
    request = urllib.request.Request(url, data, headers)  # noqa: S310 - checked_url() knows it
    try:
        with urllib.request.urlopen(request, timeout=TIMEOUT):  # noqa: S310 - likewise
            pass
    except urllib.error.HTTPError as error:
        with error:
            raise OSError(f"the server answered {error.code} {error.reason}") from None
    except urllib.error.URLError as error:
        raise OSError(f"the server cannot be reached: {error.reason}") from None
