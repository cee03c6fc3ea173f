"""An echo server for web sockets that does nothing else, so that it is not what is measured.

``GET /count`` tells, as JSON, how many sockets were ``opened``, how many are ``open``, and how many
``messages`` have arrived.  It knows what the benchmark sends: whole, masked frames of less than
64 KB (RFC 6455, 5.2), and of control frames only the one that closes.
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import json
import struct
from collections import Counter

_GUID = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE = 0x8
_count: Counter[str] = Counter(opened=0, open=0, messages=0)


class Echo(asyncio.Protocol):
    """One connection: HTTP until it is upgraded, then frames."""

    def __init__(self) -> None:
        self._buffer = b""
        self._is_open = False

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, error: Exception | None) -> None:
        _count["open"] -= self._is_open

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        if self._is_open:
            self._transport.write(b"".join(self._echoes()))
        elif b"\r\n\r\n" in self._buffer:
            self._answer()

    def _answer(self) -> None:
        head, _, self._buffer = self._buffer.partition(b"\r\n\r\n")
        lines = [line.partition(b":") for line in head.split(b"\r\n")[1:]]
        headers = {name.strip().lower(): value.strip() for name, _, value in lines}
        if b"sec-websocket-key" not in headers:
            body = json.dumps(_count).encode()
            self._transport.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body))
            self._transport.write(body)
            return
        key = base64.b64encode(hashlib.sha1(headers[b"sec-websocket-key"] + _GUID).digest())
        self._transport.write(
            b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            b"Sec-WebSocket-Accept: " + key + b"\r\n\r\n"
        )
        self._is_open = True
        _count["opened"] += 1
        _count["open"] += 1

    def _echoes(self) -> list[bytes]:
        """The answers to the frames that are complete."""
        answers = []
        while len(self._buffer) >= 6:
            first, size = self._buffer[0], self._buffer[1] & 0x7F
            at = 2 if size < 126 else 4
            if size == 126:
                (size,) = struct.unpack_from("!H", self._buffer, 2)
            end = at + 4 + size
            if len(self._buffer) < end:
                break
            key, masked = self._buffer[at : at + 4], self._buffer[at + 4 : end]
            pattern = (key * (size // 4 + 1))[:size]
            number = int.from_bytes(masked, "little") ^ int.from_bytes(pattern, "little")
            length = bytes([size]) if size < 126 else struct.pack("!BH", 126, size)
            answers.append(bytes([first]) + length + number.to_bytes(size, "little"))
            self._buffer = self._buffer[end:]
            _count["messages"] += first & 0xF != _CLOSE
        return answers


async def main() -> None:
    server = await asyncio.get_running_loop().create_server(Echo, "127.0.0.1", 0, backlog=16384)
    print(f"ws://127.0.0.1:{server.sockets[0].getsockname()[1]}/", flush=True)
    await server.serve_forever()


if __name__ == "__main__":
    asyncio.run(main())
