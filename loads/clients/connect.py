"""Opens sockets for HTTP: to any address of a host, with TLS where that is wanted, and measured.

Errors are those of Requests, so that nobody has to know who opened the connection.
"""

from __future__ import annotations

import errno
import os
import socket
import ssl
import time
from _socket import socket as RawSocket
from dataclasses import dataclass
from typing import Any

import certifi
import gevent
from requests import exceptions
from urllib3.util.ssl_ import create_urllib3_context

from loads.metrics.series import CONNECTION, SeriesKey, Verdict
from loads.recorder.current import current

MAX_ORIGINS = 10_000


@dataclass(eq=False)
class Origin:
    """Whom a connection is to: one object for each, made by :func:`origin`, equal to itself only.

    ``verify`` is as Requests takes it.  ``kept`` is how often a connection was found open just
    after an answer.
    """

    scheme: str
    host: str
    port: int
    verify: bool | str = True
    kept: int = 0

    def __str__(self) -> str:
        return f"{self.scheme}://{self.host}:{self.port}"


_origins: dict[tuple[str, str, int, bool | str], Origin] = {}


def origin(scheme: str, host: str, port: int, verify: bool | str = True) -> Origin:
    """The origin with these properties."""
    key = (scheme, host, port, verify)
    found = _origins.get(key)
    if found is None:
        if len(_origins) >= MAX_ORIGINS:
            _origins.clear()
        found = _origins[key] = Origin(*key)
    return found


def open_socket(to: Origin, timeout: float | None) -> Any:
    """A connected socket that does not block: for ``https`` gevent's, after the handshake.

    Raises ``requests`` connection errors.
    """
    try:
        connected = _connect(to, timeout)
        return _secure(connected, to, timeout) if to.scheme == "https" else connected
    except TimeoutError as error:
        raise exceptions.ConnectTimeout(
            f"Connection to {to.host}:{to.port} timed out. (connect timeout={timeout})"
        ) from error
    except ssl.SSLError as error:
        raise exceptions.SSLError(f"{to.host}:{to.port}: {error}") from error
    except socket.gaierror as error:
        raise exceptions.ConnectionError(
            f"NameResolutionError: Failed to resolve {to.host!r} ({error})"
        ) from error
    except OSError as error:
        raise exceptions.ConnectionError(f"{to.host}:{to.port}: {error}") from error


def _connect(to: Origin, timeout: float | None) -> RawSocket:
    """A connected socket, and the time that it took recorded."""
    start, verdict = time.perf_counter(), Verdict.ERROR
    addresses = socket.getaddrinfo(to.host, to.port, 0, socket.SOCK_STREAM)
    looked_up = time.perf_counter()
    try:
        connected = _connect_to_any(addresses, timeout)
        verdict = Verdict.SUCCESS
        return connected
    finally:
        taken = time.perf_counter() - max(start, looked_up)
        record = current().series(SeriesKey(CONNECTION, f"{to.host}:{to.port}", "connect")).record
        record(int(taken * 1e6), verdict)


def _connect_to_any(addresses: list[Any], timeout: float | None) -> RawSocket:
    last: OSError = OSError("getaddrinfo found no address")
    for family, kind, protocol, _, address in addresses:
        candidate = RawSocket(family, kind | socket.SOCK_NONBLOCK, protocol)
        try:
            candidate.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            _connect_to(candidate, address, timeout)
            return candidate
        except OSError as error:
            last = error
            candidate.close()
        except BaseException:  # the greenlet is cut
            candidate.close()
            raise
    raise last


def _connect_to(candidate: RawSocket, address: Any, timeout: float | None) -> None:
    """Connect without gevent's socket, which asks the kernel for everything twice."""
    code = candidate.connect_ex(address)
    if code == errno.EINPROGRESS and _is_connected(candidate):
        return  # on one machine it is before anybody could wait for it
    if code == errno.EINPROGRESS:
        hub = gevent.get_hub()
        watcher = hub.loop.io(candidate.fileno(), 2)
        try:
            hub.wait(watcher) if timeout is None else _wait_within(hub, watcher, timeout)
        finally:
            watcher.close()
        code = candidate.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
    if code:
        raise OSError(code, os.strerror(code))


def _is_connected(candidate: RawSocket) -> bool:
    try:
        candidate.getpeername()
    except OSError:
        return False
    return True


def _wait_within(hub: Any, watcher: Any, timeout: float) -> None:
    with gevent.Timeout(timeout, TimeoutError("timed out")):
        hub.wait(watcher)


_contexts: dict[bool | str, ssl.SSLContext] = {}


def _secure(connected: RawSocket, to: Origin, timeout: float | None) -> Any:
    """TLS on a connected socket, and the time that it took recorded."""
    context = _contexts.get(to.verify)
    if context is None:
        context = _contexts[to.verify] = _context(to.verify)
    plain = socket.socket(fileno=connected.detach())
    plain.settimeout(timeout)
    start, verdict = time.perf_counter(), Verdict.ERROR
    try:
        secured = context.wrap_socket(plain, server_hostname=to.host)
        verdict = Verdict.SUCCESS
        return secured
    except BaseException:
        plain.close()
        raise
    finally:
        record = current().series(SeriesKey(CONNECTION, to.host, "tls")).record
        record(int((time.perf_counter() - start) * 1e6), verdict)


def _context(verify: bool | str) -> ssl.SSLContext:
    """What Requests verifies with: its own bundle, another file or directory, or nothing."""
    context = create_urllib3_context()
    if verify is False:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        return context
    context.verify_mode = ssl.CERT_REQUIRED
    context.check_hostname = True
    bundle = certifi.where() if verify is True else verify
    if os.path.isdir(bundle):
        context.load_verify_locations(capath=bundle)
    else:
        context.load_verify_locations(bundle)
    return context
