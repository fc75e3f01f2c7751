"""Names for what Postgres and its two drivers raise, so that nobody above the store imports a driver for them."""

import psycopg
from psycopg import errors
from sqlalchemy.exc import OperationalError, SQLAlchemyError

DriverError = psycopg.Error
"""Any fault of a statement given to the driver itself."""
DriverUnavailable = psycopg.OperationalError
EngineError = SQLAlchemyError
"""Any fault of a statement given to the engine."""
EngineUnavailable = OperationalError

UNAVAILABLE = (OperationalError, psycopg.OperationalError)
"""The database is away, or gave up on a statement; asking again later can help."""
REFUSED = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, UnicodeError, ValueError)
"""Postgres will never take these values."""
RETRYABLE = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
"""The same statement may succeed at once."""
StatementTimeout = errors.QueryCanceled
LockNotAvailable = errors.LockNotAvailable
UniqueViolation = errors.UniqueViolation


def driver_fault(error: BaseException) -> BaseException:
    """The driver's error under the engine's; the error itself when there is none."""
    return error.orig if isinstance(error, OperationalError) and error.orig is not None else error


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a statement waited longer than lock_timeout."""
    return isinstance(driver_fault(error), LockNotAvailable)
