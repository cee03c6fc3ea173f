"""Sockets, the loop around them, and where they are.  The only place that knows ZeroMQ."""
