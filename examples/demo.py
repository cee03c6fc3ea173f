"""What ``make demo`` shows: a cluster on this machine, and a load test on it.

Starts the example site, a broker and two agents, runs a test on them with the live console, and
compares what Loads reports with what the site has counted.  Leaves nothing behind.
"""

import argparse
import contextlib
import json
import os
import subprocess
import sys
import tempfile
import time
import urllib.request
from pathlib import Path

from loads.client import BrokerClient
from loads.clock import SystemClock
from loads.errors import LoadsError
from loads.transport.endpoints import default_endpoints

AGENTS = 2
TEST = "examples.test_site"
USERS = "10:20"
PATIENCE = 30  # seconds that something may take to start or to end


@contextlib.contextmanager
def running(*command, logfile=None):
    """A process of the demo, ended by its id when the demo ends."""
    process = subprocess.Popen(
        [sys.executable, "-m", *command], stdout=subprocess.PIPE, stderr=logfile, text=True
    )
    try:
        yield process
    finally:
        process.terminate()
        process.communicate(timeout=PATIENCE)


def wait_for_agents():
    """Wait until the broker has its agents."""
    deadline = time.monotonic() + PATIENCE
    with BrokerClient(default_endpoints().frontend, SystemClock()) as broker:
        while broker.ping().idle_agents < AGENTS:
            if time.monotonic() > deadline:
                raise LoadsError("The agents did not register in time.")
            time.sleep(0.05)


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--seconds", default="5", help="how long each group of users runs")
    seconds = options.parse_args().seconds
    with contextlib.ExitStack() as demo:
        scratch = Path(demo.enter_context(tempfile.TemporaryDirectory(prefix="loads-demo-")))
        os.environ["LOADS_RUNTIME_DIR"] = str(scratch / "run")
        os.environ["LOADS_HOME"] = str(scratch / "home")
        log = demo.enter_context((scratch / "log").open("w"))

        print(f"Starting a site, a broker and {AGENTS} agents ...", flush=True)
        site = demo.enter_context(running("examples.server", "--port", "0"))
        url = site.stdout.readline().split()[-1].rstrip("/")
        broker = demo.enter_context(running("loads.cli.broker", logfile=log))
        broker.stdout.readline()
        for _ in range(AGENTS):
            demo.enter_context(running("loads.cli.agent", logfile=log))
        wait_for_agents()

        summary = scratch / "summary.json"
        command = ["loads-runner", TEST, "-a", str(AGENTS), "-u", USERS, "-d", seconds]
        command += ["--server-url", url]
        print("$", *command, "\n", flush=True)
        runner = [sys.executable, "-m", "loads.cli.run", *command[1:]]
        outputs = ["--output", "console", "--output", "json"]
        code = subprocess.call([*runner, *outputs, "--output-json-filename", str(summary)])
        if code:
            return code
        reported = json.loads(summary.read_text())["hits"]["total"]
        served = int(urllib.request.urlopen(f"{url}/count").read())
        print(f"\nLoads reports {reported:,} hits, and the site has counted {served:,}.")
        return 0 if reported == served else 1


if __name__ == "__main__":
    sys.exit(main())
