"""What a server's work costs: processor seconds of its processes and of PostgreSQL, and memory per worker."""

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class Spent:
    """Processor seconds since the processes began, user and system together."""

    web: float
    postgres: float

    def since(self, earlier: "Spent") -> "Spent":
        return Spent(self.web - earlier.web, self.postgres - earlier.postgres)

    def plus(self, other: "Spent") -> "Spent":
        return Spent(self.web + other.web, self.postgres + other.postgres)

    def per_million(self, events: int) -> "Spent":
        return Spent(self.web * 1e6 / events, self.postgres * 1e6 / events)


NOTHING = Spent(0.0, 0.0)


def spent(web: int, postgres: int) -> Spent:
    """What these two processes and their children have used. PostgreSQL's background work is in it."""
    return Spent(_seconds(web), _seconds(postgres))


def worker_megabytes(web: int) -> float:
    """The largest worker's resident memory, libraries shared with others included."""
    children = psutil.Process(web).children()
    return max((child.memory_info().rss / 2**20 for child in children), default=0.0)


def _seconds(pid: int) -> float:
    """A process that ended has left its time with its parent."""
    parent = psutil.Process(pid)
    total = 0.0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
