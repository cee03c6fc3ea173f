"""The observers that there are: our own, and those that are installed."""

from __future__ import annotations

from typing import ClassVar

from loads.observers.base import Observer
from loads.plugins import Plugins


class Registry(Plugins[Observer]):
    """Finds observers by their names."""

    group = "loads.observers"
    noun = "observer"
    ours: ClassVar = {
        "email": "loads.observers.email:EmailObserver",
        "irc": "loads.observers.irc:IrcObserver",
        "slack": "loads.observers.slack:SlackObserver",
        "webhook": "loads.observers.webhook:WebhookObserver",
    }
