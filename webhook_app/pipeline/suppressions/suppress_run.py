"""Does the tasks of the job `suppress` in short transactions. What fails is done in parts, and stops nothing else."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

import structlog

from webhook_app.store.people import links
from webhook_app.store.postgres import locks
from webhook_app.store.postgres.engine import Connection, Engine, use_indexes_until_commit
from webhook_app.store.postgres.errors import driver_fault, is_connection_lost
from webhook_app.store.suppressions.changes import SuppressionChange

log = structlog.get_logger()

_BATCH = 1_000
_BATCHES = 20
_MOST_FAULTS = 20  # statements of a queue that fail; more are rather a fault that all of them have

Task = Callable[[Connection, int], int]
"""Works on at most so many in one transaction, and returns how many; a full batch is followed by another."""


class Queue(NamedTuple):
    """Statements, links or changes of number that wait to be applied, by contact."""

    contacts: Callable[[Connection, int, Iterable[str]], list[str]]
    """The contacts of the first so many that wait, some repeatedly, but those given."""
    apply: Callable[[Connection, list[str]], Sequence[SuppressionChange]]
    """Applies all that waits of these contacts."""


class TasksFailedError(Exception):
    """Something failed in a run. All else is done."""


class AnotherRunError(Exception):
    """Another run holds the lock."""


class SuppressRun:
    """One run. `count` takes note of the changes that came of a queue."""

    def __init__(self, engine: Engine, count: Callable[[Sequence[SuppressionChange]], None]) -> None:
        self._engine = engine
        self._count = count
        self._faults: list[Exception] = []

    def do(self, work: Task | Queue) -> None:
        """Do a task, or apply what waits in a queue, as far as possible. Raises only when the run has to end."""
        try:
            self._empty(work) if isinstance(work, Queue) else self._repeat(work)
        except Exception as fault:
            if _ends_run(fault):
                raise
            self._note(fault)

    def _repeat(self, task: Task) -> None:
        """Do the task batch by batch. A batch that fails is halved, down to one."""
        limit = _BATCH
        for _ in range(_BATCHES):
            try:
                with self._transaction() as connection:
                    size = task(connection, limit)
            except Exception as fault:
                if limit == 1 or _ends_run(fault):
                    raise
                limit //= 2
            else:
                if size < limit:
                    return

    def _empty(self, queue: Queue) -> None:
        """Apply what waits in the queue, except what fails by itself: that waits for the next run."""
        failed: set[str] = set()
        for _ in range(_BATCHES):
            with self._transaction() as connection:
                waiting = queue.contacts(connection, _BATCH, failed)
            failed |= self._apply_in_parts(queue, list(dict.fromkeys(waiting)))
            if len(waiting) < _BATCH or len(failed) >= _MOST_FAULTS:
                return

    def _apply_in_parts(self, queue: Queue, contacts: list[str]) -> set[str]:
        """Apply what waits of these contacts, those of few keys at a time; returns the contacts of what failed.

        A part that fails is halved, down to one contact.
        """
        failed: set[str] = set()
        parts = [contacts] if contacts else []
        while parts and len(failed) < _MOST_FAULTS:
            part = few = parts.pop()
            try:
                with self._transaction() as connection:
                    few = links.first_people(connection, part)
                    changes = queue.apply(connection, few)
                self._count(changes)
            except Exception as fault:
                if _ends_run(fault):
                    raise
                if len(few) > 1:
                    parts += [few[len(few) // 2 :], few[: len(few) // 2]]
                else:
                    self._note(fault)
                    failed |= {*few}
            if rest := part[len(few) :]:
                parts.insert(0, rest)
        return failed

    @contextmanager
    def _transaction(self) -> Iterator[Connection]:
        with self._engine.begin() as connection:
            if not locks.try_until_commit(connection, locks.SUPPRESS_LOCK):
                raise AnotherRunError
            use_indexes_until_commit(connection)
            yield connection

    def _note(self, fault: Exception) -> None:
        log.error("not done", exc_info=fault)
        self._faults.append(fault)

    def raise_faults(self) -> None:
        """Raise TasksFailedError if something failed."""
        if self._faults:
            kinds = ", ".join(sorted({type(driver_fault(fault)).__name__ for fault in self._faults}))
            message = f"{len(self._faults)} tasks or statements failed ({kinds}); all others are done"
            raise TasksFailedError(message) from self._faults[0]


def _ends_run(fault: Exception) -> bool:
    return isinstance(fault, AnotherRunError) or is_connection_lost(fault)
