"""What broker, agents and clients say to each other, without any socket.

``messages`` is what can be said, ``limits`` what the values in it may be, ``codec`` how it looks on
the wire, ``dialogue`` what may follow what, ``liveness`` when silence means death.  The prose is in
``docs/protocol.rst``.
"""
