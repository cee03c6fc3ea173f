# ruff: noqa: UP004 - as it was written for Loads 1

import hashlib
import hmac

from requests.auth import AuthBase


class Signed(AuthBase):
    """As the tests of token servers had it: signs what is sent with what was given."""

    def __init__(self, key):
        self.key = key

    def __call__(self, request):
        body = request.body or b""
        if not isinstance(body, bytes):
            body = body.encode("utf8")
        text = request.method.encode("utf8") + request.path_url.encode("utf8") + body
        request.headers["Authorization"] = hmac.new(self.key, text, hashlib.sha1).hexdigest()
        return request


class Api(object):
    """A client library that is handed the test's session."""

    def __init__(self, url, session):
        self.url = url
        self.session = session

    def get(self, path, **options):
        return self.session.get(self.url + path, **options)
