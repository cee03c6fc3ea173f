"""Shows how the series of a broker's last run went, second by second, from the broker's database.

    python -m examples.read_history ~/.config/loads/broker.db

The broker must not be running, or must have another database: it lets nobody else in.
"""

import sys

from loads.broker.documents import Head, history_in
from loads.protocol.codec import unpack
from loads.storage.registry import open_storage


def main() -> None:
    storage = open_storage(sys.argv[1])
    try:
        for heading in storage.ended_runs()[:1]:
            run = storage.run(heading.run_id)
            head = unpack(Head, heading.head)
            print(f"{head.run_id}: {head.plan.target}, {head.status}, {head.hits} hits")
            for key, second, slot in history_in(run.parts).rows():
                p95 = slot.percentile(95) / 1000
                print(
                    f"{second:5} s  {slot.count:7} {slot.errors:5} errors  p95 {p95:.1f} ms  "
                    f"{key.kind} {key.method} {key.name}"
                )
    finally:
        storage.close()


if __name__ == "__main__":
    main()
