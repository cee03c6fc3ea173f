"""The agent: the daemon on a load-generating box; owns worker processes."""
