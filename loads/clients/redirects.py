"""Following redirects, each hop being a hit of its own."""

from __future__ import annotations

from typing import Any

import requests


def follow(
    session: requests.Session,
    response: requests.Response,
    request: requests.PreparedRequest,
    **kwargs: Any,
) -> requests.Response:
    """Follow a redirect to its end; give the last answer, with the others as its history."""
    history = [response, *session.resolve_redirects(response, request, **kwargs)]
    last: requests.Response = history.pop()
    last.history = history
    return last
