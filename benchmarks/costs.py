"""CPU seconds of a server's processes and of PostgreSQL, and memory per worker."""

from dataclasses import dataclass

import psutil


@dataclass(frozen=True)
class CpuSeconds:
    """CPU seconds since the processes started, user and system."""

    web: float
    postgres: float

    def since(self, earlier: "CpuSeconds") -> "CpuSeconds":
        return CpuSeconds(self.web - earlier.web, self.postgres - earlier.postgres)

    def plus(self, other: "CpuSeconds") -> "CpuSeconds":
        return CpuSeconds(self.web + other.web, self.postgres + other.postgres)

    def per_million(self, events: int) -> "CpuSeconds":
        return CpuSeconds(self.web * 1e6 / events, self.postgres * 1e6 / events)


NO_CPU = CpuSeconds(0.0, 0.0)


def cpu_seconds(web: int, postgres: int) -> CpuSeconds:
    """Return the CPU seconds of these two processes and their children, including PostgreSQL's background work."""
    return CpuSeconds(_seconds(web), _seconds(postgres))


def worker_megabytes(web: int) -> float:
    """Return the largest worker's resident memory, including shared libraries."""
    children = psutil.Process(web).children()
    return max((child.memory_info().rss / 2**20 for child in children), default=0.0)


def _seconds(pid: int) -> float:
    """Return the seconds of a process and its children; its own counters include children that have ended."""
    parent = psutil.Process(pid)
    total = 0.0
    for process in [parent, *parent.children(recursive=True)]:
        try:
            times = process.cpu_times()
        except psutil.NoSuchProcess:
            continue
        total += times.user + times.system + times.children_user + times.children_system
    return total
