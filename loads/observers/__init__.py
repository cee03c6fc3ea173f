"""What tells people that a run has ended, on the broker's side.

An observer is called once, with the final picture of a run, in a process of its own that may take
:data:`loads.observers.calls.PATIENCE` seconds: neither the broker nor any run can be harmed by it.
"""
