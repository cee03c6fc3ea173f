"""Where a broker keeps its runs, so that they outlive it."""
