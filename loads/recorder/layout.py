"""Where what lies in a recorder's memory.

All numbers are unsigned 64-bit cells in the machine's byte order; both ends are on one machine.
Cells are written one at a time and aligned, so a reader never sees half a number; what it may see
is a record of which some cells are written and others not yet.  The order of writing makes that
harmless:

- A series' bucket is incremented last.  The sum of the buckets is the number of hits: nothing
  else is.
- The outcome that a series saw first has no count of its own: it is the sum of the buckets less
  all the other outcomes.  So outcomes and buckets can never disagree, not even when
  a worker is killed between two increments.
  What can happen is that the last hit of a killed worker is entered under another outcome than
  its own.
- A power of two of a histogram is marked as touched before anything is counted in it: the reader
  looks nowhere else, because looking at a page of shared memory is enough to make it real.
- A string is complete before the length that covers it is written, and it is written before
  the cells that it describes are used.
"""

from __future__ import annotations

from loads.metrics.histogram import BUCKETS

CELL = 8

# -- head ----------------------------------------------------------------------------------------

STRINGS_USED = 0  #: bytes of the string region that are complete
ELAPSED = 1  #: microseconds from the run's start to the last thing recorded
USERS = 2  #: virtual users that are active now
COUNTS = 16  #: first of the counts named by metrics.tally.COUNTS
HEAD_CELLS = 64

# -- failures: count, first and last time in microseconds since the start --------------------------

MAX_FAILURES = 200
FAILURES = HEAD_CELLS
FAILURE_CELLS = 3
FAILURE_COUNT, FAILURE_FIRST, FAILURE_LAST = range(FAILURE_CELLS)

# -- the test's own counters: two's complement, as they may be decremented -------------------------

MAX_COUNTERS = 500
COUNTERS = FAILURES + MAX_FAILURES * FAILURE_CELLS

# -- series --------------------------------------------------------------------------------------

MAX_SERIES = 1_000
OUTCOMES = 16  #: other outcomes of a series beside its first; further ones share the last slot
TOTAL, LOW, HIGH, SENT, RECEIVED, FIRST_OUTCOME, TOUCHED = range(7)
PHASES = 7  #: count, sending, waiting, receiving
OUTCOME_SLOTS = 12  #: pairs of outcome and count
BUCKETS_AT = OUTCOME_SLOTS + 2 * OUTCOMES
SERIES_CELLS = BUCKETS_AT + BUCKETS
SERIES = -(-(COUNTERS + MAX_COUNTERS) // 512) * 512

# -- strings: lines of JSON that say what the cells are --------------------------------------------

STRINGS_AT = (SERIES + MAX_SERIES * SERIES_CELLS) * CELL
STRINGS_SIZE = 4 << 20
STRINGS_RESERVE = 4 << 10  #: kept free for the definitions of what takes the overflow

SIZE = STRINGS_AT + STRINGS_SIZE
