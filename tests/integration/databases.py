"""Real database servers, on sockets in a directory of their own."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conftest import find_program
from tests.e2e.waiting import until


@contextmanager
def _folder() -> Iterator[Path]:
    # the path of a Unix socket has 107 bytes, and those of pytest's own directories are long
    folder = Path(tempfile.mkdtemp(prefix="l-", dir="/tmp"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)


@dataclass(frozen=True)
class Database:
    """A server that runs: its URL, and the process that began it."""

    url: str
    pid: int

    def hangs(self) -> None:
        """Have it accept all that is told, and answer nothing."""
        for pid in _family(self.pid):
            os.kill(pid, signal.SIGSTOP)

    def goes_on(self) -> None:
        """Have it answer again, also what it was told meanwhile."""
        _continue(_family(self.pid))


def _family(pid: int) -> list[int]:
    """A process and all that it has begun, itself first."""
    pids = [pid]
    for each in pids:
        for task in Path(f"/proc/{each}/task").glob("*/children"):
            pids += map(int, task.read_text().split())
    return pids


def _continue(pids: Sequence[int]) -> None:
    for pid in reversed(pids):
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@contextmanager
def _served(
    args: Sequence[object], answers: Callable[[], bool], log: Path, **options: Any
) -> Iterator[int]:
    """A server, from when it answers; ended by SIGTERM, or SIGKILL if it does not heed that."""
    with log.open("wb") as out:
        process = subprocess.Popen(
            [str(arg) for arg in args], stdout=out, stderr=out, stdin=subprocess.DEVNULL, **options
        )
    try:
        until(lambda: answers() or process.poll() is not None, f"{args[0]} to answer")
        assert process.poll() is None, log.read_text()
        yield process.pid
    finally:
        # one that is stopped would neither heed a signal nor notice that the others have ended
        family = _family(process.pid)
        process.terminate()
        _continue(family)
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        until(lambda: not any(map(_is_there, family[1:])), "the end of what the server has begun")


def _is_there(pid: int) -> bool:
    try:
        stat = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return not stat.rpartition(")")[2].startswith(" Z")  # else it has only not been waited for


@contextmanager
def redis_server() -> Iterator[str]:
    """The URL of an empty Redis."""
    with redis_database() as database:
        yield database.url


@contextmanager
def redis_database() -> Iterator[Database]:
    """An empty Redis."""
    import redis

    with _folder() as folder:
        socket = folder / "redis.sock"
        url = f"unix://{socket}"

        def answers() -> bool:
            try:
                with redis.Redis.from_url(url) as client:
                    return bool(client.ping())
            except redis.RedisError:
                return False

        program = find_program("redis-server")
        args = (program, "--port", 0, "--unixsocket", socket, "--save", "", "--dir", folder)
        with _served(args, answers, folder / "log") as pid:
            yield Database(url, pid)


@contextmanager
def postgres_server() -> Iterator[str]:
    """The URL of an empty database."""
    with postgres_database() as database:
        yield database.url


@contextmanager
def postgres_database() -> Iterator[Database]:
    """An empty PostgreSQL database; it does not run as root, so then it is nobody's."""
    import psycopg

    as_user: dict[str, Any] = {}
    with _folder() as folder:
        data = folder / "data"
        if os.getuid() == 0:
            nobody = pwd.getpwnam("nobody")
            os.chown(folder, nobody.pw_uid, nobody.pw_gid)
            as_user = {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}
        initdb = [find_program("initdb"), "-D", data, "-A", "trust", "-U", "loads", "--no-sync"]
        subprocess.run(
            [str(arg) for arg in initdb], check=True, capture_output=True, cwd="/", **as_user
        )
        url = f"postgresql://loads@/postgres?host={folder}"

        def answers() -> bool:
            try:
                psycopg.connect(url).close()
                return True
            except psycopg.OperationalError:
                return False

        args = (find_program("postgres"), "-D", data, "-k", folder, "-c", "listen_addresses=")
        no_sync = ("-c", "fsync=off")
        with _served((*args, *no_sync), answers, folder.parent / f"{folder.name}.log",
                     cwd="/", **as_user) as pid:  # fmt: skip
            yield Database(url, pid)
        (folder.parent / f"{folder.name}.log").unlink()
