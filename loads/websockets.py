"""The place that web sockets had in Loads 1, for tests that import them from there.

``create_ws`` is what ``TestCase.create_ws`` calls; who calls it must call :func:`cleanup`, or
``close()`` on the socket, in the end.
"""

from loads.clients.websocket import WebSocketClient, create_ws
from loads.clients.websocket import finish as cleanup

__all__ = ["WebSocketClient", "WebSocketHook", "cleanup", "create_ws"]

WebSocketHook = WebSocketClient
