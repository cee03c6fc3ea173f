"""A broker can have more peers than a shell allows at first."""

from __future__ import annotations

import resource

from loads.transport.descriptors import raise_limit


def test_the_limit_is_raised_to_what_the_system_allows():
    before = soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft - 1, hard))
        assert raise_limit() == hard
        assert raise_limit() == hard
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
