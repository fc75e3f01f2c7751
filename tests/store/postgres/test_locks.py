"""Named locks share no key space with those of the service, however senders choose the names."""

import pytest
from sqlalchemy import Engine

from tests.support.folders import ROOT
from webhook_app.store.postgres import locks
from webhook_app.store.sends import retries

CLAIM_IDS = {  # of the key "sB": with the key before it, each has the hash that is the lock's number
    "nGpzR-Kspi0nldCx9N8ur": locks.CHANGES_LOCK,
    "nGpzR-Ksp4I5H5g-3Gfju": locks.LEADER_LOCK,
    "nGpzR-KspFXoQ4jHc06RZ": locks.SUPPRESS_LOCK,
}


@pytest.mark.parametrize(("claim", "lock"), CLAIM_IDS.items())
def test_no_claim_id_takes_a_lock_of_the_service(engine: Engine, claim: str, lock: int) -> None:
    with engine.begin() as claiming, engine.begin() as other:
        assert retries.try_lock_claim(claiming, "sB", claim)
        assert locks.try_until_commit(other, lock)


def test_advisory_locks_are_taken_in_one_module_only() -> None:
    sources = (ROOT / "webhook_app").rglob("*.py")
    assert [
        each.name for each in sources if "advisory" in each.read_text() and "pg_" in each.read_text()
    ] == ["locks.py"]


def test_a_key_runs_five_claims_at_once_and_one_with_an_id(engine: Engine) -> None:
    with engine.begin() as first, engine.begin() as second:
        assert retries.try_lock_claim(first, "shop", "a")
        assert not retries.try_lock_claim(second, "shop", "a")
        assert retries.try_lock_claim(second, "support", "a")
    opened = [engine.connect() for _ in range(6)]
    assert [retries.try_lock_claim(each, "shop", "") for each in opened] == [True] * 5 + [False]
    assert retries.try_lock_claim(opened[5], "support", "")
    for each in opened:
        each.close()
