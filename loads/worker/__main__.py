from gevent import monkey

if not __import__("os").environ.get("LOADS_NO_PATCHING"):  # before anything else is imported
    monkey.patch_all()

import sys

from loads.worker.process import main

if __name__ == "__main__":
    sys.exit(main(int(sys.argv[1])))
