"""The observers that there are: our own, and those that are installed."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from loads.observers.base import Observer
from loads.plugins import Plugins

if TYPE_CHECKING:
    from importlib.metadata import EntryPoint

GROUP = "loads.observers"  #: the entry points of others

OURS = {
    "email": "loads.observers.email:EmailObserver",
    "irc": "loads.observers.irc:IrcObserver",
    "slack": "loads.observers.slack:SlackObserver",
    "webhook": "loads.observers.webhook:WebhookObserver",
}


class Registry(Plugins[Observer]):
    """The observers that there are.  ``found`` replaces the installed entry points."""

    def __init__(self, found: Iterable[EntryPoint] | None = None) -> None:
        super().__init__(GROUP, "observer", OURS, found)
