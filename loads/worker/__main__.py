from gevent import monkey

monkey.patch_all()

import sys

from loads.worker.process import main

if __name__ == "__main__":
    sys.exit(main())
