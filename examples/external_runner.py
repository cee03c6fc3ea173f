"""A test runner that has nothing of Loads in it but the protocol: see docs/external-runners.rst.

It could be in any language that has ZeroMQ and JSON::

    loads-runner --test-runner 'python3 examples/external_runner.py {test}' \\
                 --server-url http://localhost:9000 -u 5 --hits 10 greetings
"""

import json
import os
import sys
import time
import urllib.request

import zmq

users = int(os.environ["LOADS_TOTAL_USERS"])
user = int(os.environ["LOADS_CURRENT_USER"])
hits = int(os.environ.get("LOADS_TOTAL_HITS", "0"))
end = time.monotonic() + float(os.environ.get("LOADS_DURATION", "0"))

socket = zmq.Context.instance().socket(zmq.PUSH)
socket.connect(os.environ["LOADS_ZMQ_RECEIVER"])


def send(data_type, hit, **data):
    """Report something."""
    data["loads_status"] = [hits, users, hit, user]
    data["agent_id"], data["run_id"] = os.environ["LOADS_AGENT_ID"], os.environ["LOADS_RUN_ID"]
    socket.send_json({"data_type": data_type, **data})


def run(test, hit):
    """One test: a request and an assertion."""
    url = os.environ["LOADS_SERVER_URL"] + "/"
    send("startTest", hit, test=test)
    start = time.monotonic()
    with urllib.request.urlopen(url) as answer:
        body, status = answer.read(), answer.status
    elapsed = time.monotonic() - start
    send("add_hit", hit, url=url, method="GET", status=status, elapsed=elapsed)
    if b"hello" in body:
        send("addSuccess", hit, test=test)
        send("incr_counter", hit, test=test, name="greeted")
    else:
        send("addFailure", hit, test=test, exc_info=["no greeting", "AssertionError", ""])
    send("stopTest", hit, test=test)


hit = 0
while hit < hits or time.monotonic() < end:
    hit += 1
    run(sys.argv[1], hit)
socket.close()  # waits until all is sent
json.dump({"user": user, "tests": hit}, sys.stdout)
