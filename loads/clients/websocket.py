"""Web sockets for tests: ws4py's clients, read in the background and closed when the test ends.

Each socket has a reader of its own: a greenlet where gevent has patched ``socket``, as in a worker,
else a daemon thread.  The reader calls the callback and the client's own hooks.  What one of them
raises ends the connection and is kept until the test ends, when :func:`finish` raises it where
``unittest`` sees it.

What is measured of a socket, :mod:`loads.clients.websocket_meter` does.
"""

from __future__ import annotations

import functools
import inspect
import queue
import socket as sockets
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from ws4py.client import WebSocketBaseClient
from ws4py.websocket import WebSocket

from loads.clients.websocket_meter import Measured, measured

if TYPE_CHECKING:
    from ws4py.client import WebSocketBaseClient as _Client
    from ws4py.client import WebSocketBaseClient as _MeasuredClient
else:
    _Client, _MeasuredClient = object, measured(WebSocketBaseClient)

CLOSE_TIME = 2.0  #: seconds that a peer has to answer when we close
HANG_UP_TIME = 0.5  #: seconds that a reader has to end once its connection is gone
MAX_UNREAD = 1_000  #: messages kept for a ``receive()`` that may never come

_making_inbox = threading.Lock()


class Guarded(_Client):  # type: ignore[misc, unused-ignore]
    """Goes in front of a client class: calls the callback, and keeps what hooks raise."""

    _callback: Callable[[Any], object] | None = None
    _error: BaseException | None = None

    def run(self) -> None:
        """As ws4py's, but nothing is raised into a thread or greenlet that nobody looks at."""
        try:
            super().run()
        except BaseException as error:
            if _is_cut(error):
                raise
            self._keep(error)

    def opened(self) -> None:
        """As the class in question has it."""
        self._call(super().opened)

    def received_message(self, message: Any) -> None:
        """Call the callback, then as the class in question has it."""
        # ws4py empties a message that it still holds afterwards; this one may be kept
        self.stream.message = None
        if self._callback is not None:
            self._call(self._callback, message)
        self._call(super().received_message, message)

    def _call(self, hook: Callable[..., object], *args: object) -> None:
        """Call a hook; what it raises is kept before ``closed()``, which comes next, may raise."""
        try:
            hook(*args)
        except BaseException as error:
            self._keep(error)
            raise

    def _keep(self, error: BaseException) -> None:
        if self._error is None and not _is_cut(error):
            self._error = error


class Inbox(_Client):  # type: ignore[misc, unused-ignore]
    """Goes in front of a client class: keeps messages until they are asked for.

    Where something else gets the messages as well, and as long as nobody has asked, only the last
    1,000 are kept: else a socket that is read by its callback would fill the memory.
    """

    _callback: Callable[[Any], object] | None = None
    _messages: queue.SimpleQueue[Any] | None = None
    _asked = False
    _takes_messages = False  #: whether the class in question does something with them itself

    def receive(self, timeout: float | None = None) -> Any:
        """The next message; None when the socket is closed and all messages were received.

        Raises ``TimeoutError`` when there is none within ``timeout`` seconds.
        """
        self._asked = True
        try:
            message = self._inbox.get(timeout=timeout)
        except queue.Empty:
            raise TimeoutError(f"no message from {self.url} within {timeout} s") from None
        if message is None:
            self._inbox.put(None)  # for whoever asks next
        return message

    def received_message(self, message: Any) -> None:
        """As the class in question has it; then the message can be received."""
        super().received_message(message)
        inbox = self._inbox
        inbox.put(message)
        if self._asked or (self._callback is None and not self._takes_messages):
            return
        if inbox.qsize() > MAX_UNREAD:
            with suppress(queue.Empty):
                inbox.get_nowait()

    def terminate(self) -> None:
        """As ws4py's; from then on ``receive()`` does not wait."""
        try:
            super().terminate()
        finally:
            self._inbox.put(None)

    @property
    def _inbox(self) -> queue.SimpleQueue[Any]:
        """Made when it is needed, as it takes 2 KB: an idle socket has none."""
        if self._messages is None:
            with _making_inbox:  # reader and test may come here at once
                if self._messages is None:
                    self._messages = queue.SimpleQueue()
        return self._messages


class Reader(_Client):  # type: ignore[misc, unused-ignore]
    """Goes in front of a client class: starts what reads the socket."""

    _th: Any  #: the greenlet or thread

    def handshake_ok(self) -> None:
        """The socket is open: read it."""
        if _is_patched():
            self._th = sys.modules["gevent"].spawn(self.run)
        else:
            self._th = threading.Thread(target=self.run, name=f"read {self.url}", daemon=True)
            self._th.start()


class WebSocketClient(Guarded, Inbox, Reader, _MeasuredClient):  # type: ignore[misc, unused-ignore]
    """A ws4py client whose messages can be waited for with ``receive()``.

    ``send(payload, binary=False)``, ``close(code, reason)``, ``sock`` and all else are as in ws4py.
    ``_th`` is the greenlet or thread that reads, and can be joined.
    """

    def unhandled_error(self, error: Exception) -> None:
        """A connection that breaks is one that is closed, with code 1006: no news for the log."""


def create_ws(
    url: str,
    callback: Callable[[Any], object] | None = None,
    protocols: Sequence[str] | None = None,
    extensions: Sequence[str] | None = None,
    klass: type[Any] | None = None,
) -> WebSocketClient:
    """Connect a web socket; whoever does must call :func:`finish` on it in the end.

    ``callback(message)`` is called for each message.  ``klass`` is a client class of ws4py's to
    use instead of :class:`WebSocketClient`; it is called as ``klass(url, protocols=...,
    extensions=...)``, without what its constructor does not take.
    Raises ``OSError`` when there is no connection, or a step towards it takes 30 seconds, ws4py's
    ``HandshakeError`` when what answers is no web socket, ``TypeError`` when ``klass`` is no client
    class.
    """
    given: Any = klass  # functools.cache takes no type, says mypy
    client = WebSocketClient if given is None else _guarded(given)
    options = {"protocols": protocols, "extensions": extensions}
    socket = client(url, **{name: options[name] for name in _accepted(client, *options)})
    for name, value in options.items():
        if value is not None:
            setattr(socket, name, value)  # also if its constructor does not know of it
    socket._callback = callback
    try:
        socket.connect()
    except BaseException:
        _drop(socket)
        raise
    connected: WebSocketClient = socket
    return connected


def finish(socket: WebSocketClient) -> None:
    """Close a socket if it is open, wait for its reader, and raise what that has kept.

    The peer has two seconds to answer, then the connection is cut.
    """
    deadline = time.monotonic() + CLOSE_TIME
    if not socket.terminated and socket.sock is not None:
        with suppress(OSError, RuntimeError):  # it is broken, or was closed in this moment
            socket.sock.settimeout(CLOSE_TIME)  # of writing, where the peer has stopped to read
            socket.close()
    if not _has_ended(socket, deadline - time.monotonic()):
        with suppress(OSError, AttributeError):
            socket.sock.shutdown(sockets.SHUT_RDWR)  # its reader sees the end, and closes it
        if not _has_ended(socket, HANG_UP_TIME):
            _drop(socket)
    error, socket._error = socket._error, None
    if error is not None:
        raise error


def _has_ended(socket: Any, seconds: float) -> bool:
    """Whether the reader of ``socket`` ends within ``seconds``."""
    reader = getattr(socket, "_th", None)
    if reader is None:  # somebody else's: there is nothing to wait for
        return bool(socket.terminated)
    with suppress(RuntimeError):  # a thread that was not started
        reader.join(max(seconds, 0.0))
    if hasattr(reader, "is_alive"):
        return not reader.is_alive()
    return bool(reader.dead)


def _drop(socket: Any) -> None:
    """Close without a word, and end a reader that its callback does not let go."""
    kill = getattr(getattr(socket, "_th", None), "kill", None)
    if kill is not None:
        kill(block=False)
    socket.close_connection()


@functools.cache
def _guarded(klass: type[Any]) -> type[Any]:
    """``klass`` with all in front of it that it lacks."""
    if not (isinstance(klass, type) and issubclass(klass, WebSocket)):
        raise TypeError(f"klass is a client class of ws4py's, and not {klass!r}")
    if issubclass(klass, Guarded):
        return klass
    bases: list[type[Any]] = [Guarded]
    # A greenlet reading a socket that is not gevent's would never let go of the thread.
    stuck = _is_geventclient(klass) and not _is_patched()
    if stuck or not hasattr(klass, "receive"):
        bases.append(Inbox)
    if stuck or klass.handshake_ok is WebSocketBaseClient.handshake_ok:
        bases.append(Reader)
    # A class that reads in its own way must not find ours in front.
    if klass.run is WebSocket.run and klass.once is WebSocket.once:
        bases.append(Measured)
    own = klass.received_message is not WebSocket.received_message
    names = {"__module__": klass.__module__, "__doc__": klass.__doc__, "_takes_messages": own}
    return type(klass.__name__, (*bases, klass), names)


def _accepted(klass: type[Any], *names: str) -> list[str]:
    """Which of the arguments called ``names`` the constructor of a class takes."""
    parameters = inspect.signature(klass).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return list(names)
    taken = {parameter.name for parameter in parameters}
    return [name for name in names if name in taken]


def _is_geventclient(klass: type[Any]) -> bool:
    module = sys.modules.get("ws4py.client.geventclient")
    return module is not None and issubclass(klass, module.WebSocketClient)


def _is_patched() -> bool:
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("socket"))


def _is_cut(error: BaseException) -> bool:
    """Whether somebody ended the greenlet, which is no error of the test."""
    gevent = sys.modules.get("gevent")
    return gevent is not None and isinstance(error, gevent.GreenletExit)
