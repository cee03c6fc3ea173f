"""Where the commands start.

While a command is still being imported, Ctrl-C ends it as it ends any program, without a word:
nothing has begun that would have to be ended in order.
"""

import gc
import os
import signal
import sys


def _start(name: str) -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    _hide_token()
    gc.disable()  # what is imported stays, and need not be looked through again and again
    module = __import__(f"loads.cli.{name}", fromlist=["main"])
    gc.enable()
    signal.signal(signal.SIGINT, signal.default_int_handler)
    sys.exit(module.main())


def _hide_token() -> None:
    """Start again without the token on the command line, which all users of the machine can read.

    It is handed over in a pipe, which is empty once it was read.
    """
    if not any("loads1_" in argument for argument in sys.argv):
        return
    from loads.transport.arguments import PIPE, token_in

    token = token_in(sys.orig_argv)
    if token and len(token) < 4096:  # which every pipe has room for
        out, into = os.pipe()
        os.set_inheritable(out, True)
        os.write(into, token.encode())
        os.close(into)
        arguments = [arg.replace(token, f"{PIPE}{out}") for arg in sys.orig_argv]
        os.execv(sys.executable, arguments)  # noqa: S606 - ourselves


def runner() -> None:
    """``loads-runner``"""
    _start("run")


def broker() -> None:
    """``loads-broker``"""
    _start("broker")


def agent() -> None:
    """``loads-agent``"""
    _start("agent")


def keys() -> None:
    """``loads-keys``"""
    _start("keys")
