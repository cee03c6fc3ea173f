"""The commands.  Each parses, calls and prints; what they do is elsewhere."""
