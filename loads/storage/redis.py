"""Runs in a Redis database.

``loads:schema`` is the version of this arrangement, ``loads:open`` and ``loads:ended`` are sorted
sets of runs by the time of their creation or end.  Of each run, ``loads:run:ID`` is a hash with
``created``, ``ended``, ``head`` and a ``part:NAME`` for each part, and ``loads:deltas:ID`` a list.

What a broker has written outlives that broker.  Whether it outlives Redis is set there
(``appendonly``, ``save``).

A command whose answer does not come may have been received all the same, and be carried out when
the server goes on.  So nothing is sent twice, and the first thing that a new connection does is to
end the one before it: then nothing of that can be carried out any more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import Any
from urllib.parse import urlsplit

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from loads.errors import StorageError
from loads.storage.base import (
    SCHEMA,
    AddDelta,
    DropDeltas,
    ForgetRun,
    Heading,
    Record,
    SavePart,
    SaveRun,
    StoredRun,
)

PATIENCE = 3.0  #: seconds that a server may take for an answer
_HINT = "Is the server running? As in redis://host:6379/0 or unix:///path/to/redis.sock."
_VERSION, _OPEN, _ENDED = "loads:schema", "loads:open", "loads:ended"
_PART = b"part:"
_NAME = "loads-broker"  #: by which a broker's connection is known to others


class RedisStorage:
    """Keys of our own in a database that may hold others."""

    is_remote = True

    def __init__(self, url: str) -> None:
        """``url`` is as Redis' clients take it.  Raises :class:`StorageError`."""
        parts = urlsplit(url)
        self._name = f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"
        if parts.scheme == "redis+unix":
            url = url.replace("redis+unix", "unix", 1)
        self._url = url
        self._redis: Any = None
        self._id = 0  #: of the present connection, or of the last one
        with self._errors():
            pass

    def _connect(self) -> None:
        self._redis = redis.Redis.from_url(
            self._url,
            socket_timeout=PATIENCE,
            socket_connect_timeout=PATIENCE,
            single_connection_client=True,
            client_name=None,
            retry=Retry(NoBackoff(), 0),
        )
        self._refuse_a_second()
        self._redis.setnx(_VERSION, SCHEMA)
        version = int(self._redis.get(_VERSION) or SCHEMA)
        if version > SCHEMA:
            raise StorageError(
                f"{self._name} was written by a newer version of Loads (schema {version}; this "
                f"one knows {SCHEMA}).",
                "Use that version, or name another database with --db.",
            )

    def _refuse_a_second(self) -> None:
        """Redis knows who is connected, and forgets who is not, which no key with a time does."""
        mine, before = self._redis.client_id(), self._id
        name = f"{_NAME}-{self._redis.connection.db}"
        self._redis.client_setname(name)
        named = [client for client in self._redis.client_list() if client["name"] == name]
        others = {int(client["id"]) for client in named if int(client["id"]) < mine}
        if before in others:
            self._redis.client_kill_filter(_id=str(before))
            others.remove(before)
        self._id = mine
        if others:
            raise StorageError(
                f"Another broker uses {self._name}.",
                "Use that broker, stop it, or give this one a database of its own with --db.",
            )

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """With a connection, a new one if the last one failed.  Raises :class:`StorageError`."""
        try:
            if self._redis is None:
                self._connect()
            yield
        except (redis.RedisError, ValueError, OSError) as error:
            self.close()
            text = str(error).rstrip(".")
            raise StorageError(f"{self._name} cannot be used: {text}.", _HINT) from error
        except BaseException:
            self.close()
            raise

    def describe(self) -> str:
        return self._name

    def write(self, records: Sequence[Record]) -> None:
        with self._errors():
            known = self._known({record.run_id for record in records})
            pipe = self._redis.pipeline(transaction=True)
            for record in records:
                if isinstance(record, SaveRun):
                    known.add(record.run_id)
                if record.run_id in known:
                    self._queue(pipe, record)
                if isinstance(record, ForgetRun):
                    known.discard(record.run_id)
            pipe.execute()

    def _known(self, run_ids: set[str]) -> set[str]:
        """Those of some runs that are there: what is forgotten may not come back in pieces."""
        ordered = sorted(run_ids)
        pipe = self._redis.pipeline(transaction=False)
        for run_id in ordered:
            pipe.exists(_run_key(run_id))
        return {run_id for run_id, there in zip(ordered, pipe.execute(), strict=True) if there}

    def _queue(self, pipe: Any, record: Record) -> None:
        key, deltas = _run_key(record.run_id), _deltas_key(record.run_id)
        if isinstance(record, SaveRun):
            ended = "" if record.ended is None else repr(record.ended)
            fields = {"created": repr(record.created), "ended": ended, "head": record.head}
            pipe.hset(key, mapping=fields)
            here, there = (_OPEN, _ENDED) if record.ended is None else (_ENDED, _OPEN)
            moment = record.created if record.ended is None else record.ended
            pipe.zadd(here, {record.run_id: moment})
            pipe.zrem(there, record.run_id)
        elif isinstance(record, SavePart):
            field = _PART + record.name.encode()
            if record.body:
                pipe.hset(key, field, record.body)
            else:
                pipe.hdel(key, field)
        elif isinstance(record, AddDelta):
            pipe.rpush(deltas, record.body)
        elif isinstance(record, DropDeltas):
            pipe.delete(deltas)
        else:
            pipe.delete(key, deltas)
            pipe.zrem(_OPEN, record.run_id)
            pipe.zrem(_ENDED, record.run_id)

    def open_runs(self) -> list[StoredRun]:
        with self._errors():
            run_ids = [run_id.decode() for run_id in self._redis.zrange(_OPEN, 0, -1)]
        return [run for run in map(self.run, run_ids) if run is not None]

    def run(self, run_id: str) -> StoredRun | None:
        with self._errors():
            fields = self._redis.hgetall(_run_key(run_id))
            deltas = self._redis.lrange(_deltas_key(run_id), 0, -1)
            if not fields:
                return None
            parts = {
                name.removeprefix(_PART).decode(): body
                for name, body in fields.items()
                if name.startswith(_PART)
            }
            heading = _heading(run_id, fields[b"created"], fields[b"ended"], fields[b"head"])
            return StoredRun(heading, parts, tuple(deltas))

    def ended_runs(self) -> list[Heading]:
        with self._errors():
            run_ids = [r.decode() for r in self._redis.zrange(_ENDED, 0, -1, desc=True)]
            pipe = self._redis.pipeline(transaction=False)
            for run_id in run_ids:
                pipe.hmget(_run_key(run_id), "created", "ended", "head")
            rows = zip(run_ids, pipe.execute(), strict=True)
            return [_heading(run_id, *row) for run_id, row in rows]

    def size(self) -> int:
        """The bytes that Redis says its keys for runs take."""
        with self._errors():
            run_ids = self._redis.zrange(_OPEN, 0, -1) + self._redis.zrange(_ENDED, 0, -1)
            pipe = self._redis.pipeline(transaction=False)
            for run_id in run_ids:
                for key in (_run_key(run_id.decode()), _deltas_key(run_id.decode())):
                    pipe.memory_usage(key, samples=0)
            return sum(taken or 0 for taken in pipe.execute())

    def shrink(self) -> None:
        """Redis gives it back."""

    def interrupt(self) -> None:
        """Nothing waits for longer than its patience."""

    def close(self) -> None:
        client, self._redis = self._redis, None
        if client is not None:
            with suppress(redis.RedisError, OSError):
                client.close()


def _run_key(run_id: str) -> str:
    return f"loads:run:{run_id}"


def _deltas_key(run_id: str) -> str:
    return f"loads:deltas:{run_id}"


def _heading(run_id: str, created: bytes, ended: bytes, head: bytes) -> Heading:
    return Heading(run_id, float(created), float(ended) if ended else None, head)
