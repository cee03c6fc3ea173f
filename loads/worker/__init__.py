"""The process that runs virtual users.  gevent lives here and nowhere else."""
