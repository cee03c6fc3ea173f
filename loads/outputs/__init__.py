"""What turns results into something that a person or a machine reads, on the runner's side.

An output is handed a cumulative picture of the run (:class:`loads.metrics.summary.RunView`)
again and again, and once more at the end.  It decides nothing: neither how a run goes on nor
what the command exits with.
"""
