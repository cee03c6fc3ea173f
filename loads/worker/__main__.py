import gc

gc.disable()  # what is imported stays: to look through it again and again takes a tenth of the time

from gevent import events, monkey

if not __import__("os").environ.get("LOADS_NO_PATCHING"):  # before anything else is imported
    # Plugins of gevent may hear of each module that is patched: all that is installed is looked
    # through for them 25 times, which takes as long as to import Requests.
    events.notify_and_call_entry_points = events.notify
    monkey.patch_all()

import sys

from loads.worker.process import main

gc.freeze()
gc.enable()

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
