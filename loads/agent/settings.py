"""What the agent's shell knows and its core does not."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Settings:
    """What the shell knows and the core does not.  Times are in seconds.

    ``heartbeat`` and ``timeout`` hold until the broker's welcome says otherwise, and
    ``sample_interval``, how often workers are read, until its start does.
    """

    agent_id: str
    host: str
    pid: int
    workers: int
    version: str
    cores: int = 0
    heartbeat: float = 1.0
    timeout: float = 10.0
    orphan_timeout: float = 30.0
    sample_interval: float = 0.25
