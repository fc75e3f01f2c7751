"""The scheduler: the table of jobs, and the leader that runs it."""
