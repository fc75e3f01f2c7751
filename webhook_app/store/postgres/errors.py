"""Names for the errors of Postgres and its two drivers, so that no floor above the store imports a driver."""

import psycopg
from psycopg import errors
from sqlalchemy.exc import DBAPIError, OperationalError, SQLAlchemyError
from sqlalchemy.exc import TimeoutError as NoFreeConnection

DriverError = psycopg.Error
"""Any error of a statement run by the driver."""
DriverUnavailable = psycopg.OperationalError
EngineError = SQLAlchemyError
"""Any error of a statement run by the engine."""
EngineUnavailable = OperationalError

UNAVAILABLE = (OperationalError, psycopg.OperationalError, NoFreeConnection)
"""The database is not reachable, a statement took too long, or no connection is free; a later retry can help."""
REFUSED = (psycopg.DataError, psycopg.IntegrityError, errors.ProgramLimitExceeded, UnicodeError, ValueError)
"""Postgres will never accept these values."""
RETRYABLE = (errors.DeadlockDetected, errors.SerializationFailure, errors.LockNotAvailable)
"""A retry of the statement may succeed at once."""
StatementTimeout = errors.QueryCanceled
LockNotAvailable = errors.LockNotAvailable
UniqueViolation = errors.UniqueViolation


def driver_fault(error: BaseException) -> BaseException:
    """The driver's error inside the engine's error, or the error itself."""
    return error.orig if isinstance(error, DBAPIError) and error.orig is not None else error


def is_lock_timeout(error: BaseException) -> bool:
    """Whether a statement waited for a lock longer than lock_timeout."""
    return isinstance(driver_fault(error), LockNotAvailable)


def is_statement_timeout(error: BaseException) -> bool:
    """Whether a statement took longer than statement_timeout."""
    return isinstance(driver_fault(error), StatementTimeout)


def is_connection_lost(error: BaseException) -> bool:
    """Whether the database cannot be reached, or has ended the session, or no connection is free."""
    fault = driver_fault(error)
    if isinstance(fault, psycopg.OperationalError):
        return fault.sqlstate is None or fault.sqlstate.startswith(("08", "57P"))
    return isinstance(fault, NoFreeConnection)
