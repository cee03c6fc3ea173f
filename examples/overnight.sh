#!/bin/sh
# A load test that a nightly job starts, leaves, and comes back to: sh examples/overnight.sh URL
#
# It needs a broker and an agent.  The run waits for agents for ten minutes at most; the exit
# status is that of the run, as if somebody had watched it all the time.
set -eu

run=$(loads-runner examples.test_site -a 1 -u 10 --hits 5 --server-url "$1" \
      --wait-for-agents 10m --user-id nightly --detach --quiet)
echo "run $run"

loads-runner --list-runs

# Later, and wherever the broker can be reached: the result, once there is one.
loads-runner --attach "$run" --quiet --output json
