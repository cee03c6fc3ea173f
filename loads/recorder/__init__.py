"""A worker's counters in shared memory, and their reader.

A worker does not send results: it counts in memory that its supervisor sees.  Recording is a few
increments, nothing is serialised on the way, and whatever was recorded is there even when the
worker is blocked, or was killed in the middle of a request.
"""
