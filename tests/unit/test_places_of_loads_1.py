"""Where Loads 1 had things that tests import."""

from __future__ import annotations

import requests
import webtest


def test_web_sockets() -> None:
    from loads.websockets import WebSocketClient, WebSocketHook, cleanup, create_ws

    assert callable(create_ws) and callable(cleanup)
    assert WebSocketHook is WebSocketClient


def test_session_and_app_take_what_they_took() -> None:
    from loads.measure import Session, TestApp

    session = Session(object(), object())
    assert isinstance(session, requests.Session)
    app = TestApp("http://localhost:1", session, object())
    assert isinstance(app, webtest.TestApp)
    assert app.server_url == "http://localhost:1"
