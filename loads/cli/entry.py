"""Where the commands start.

While a command is still being imported, Ctrl-C ends it as it ends any program, without a word:
nothing has begun that would have to be ended in order.
"""

import signal
import sys


def _start(name: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    module = __import__(f"loads.cli.{name}", fromlist=["main"])
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(module.main())


def runner() -> None:
    """``loads-runner``"""
    _start("run")


def broker() -> None:
    """``loads-broker``"""
    _start("broker")


def agent() -> None:
    """``loads-agent``"""
    _start("agent")
