"""Brokers of which there is only a frontend, and that answer as a test says."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import zmq

from loads.protocol import messages as m
from loads.protocol.codec import decode

Answer = Callable[[m.Request], Sequence[list[bytes]]]


@contextmanager
def frontend(short: Path, answer: Answer) -> Iterator[str]:
    """A frontend in a thread, which gives each question the frames that ``answer`` makes."""
    endpoint, over = f"ipc://{short}/frontend", threading.Event()
    with zmq.Context() as context:
        router = context.socket(zmq.ROUTER)
        router.bind(endpoint)

        def serve() -> None:
            while not over.is_set():
                if router.poll(20):
                    peer, *frames = router.recv_multipart()
                    question = decode(frames, m.FROM_CLIENT)
                    for reply in answer(question):  # type: ignore[arg-type]
                        router.send_multipart([peer, *reply])

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield endpoint
        finally:
            over.set()
            thread.join()
            router.close(0)
