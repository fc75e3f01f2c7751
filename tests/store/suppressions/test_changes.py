"""With many writers, the change feed returns every change exactly once and in order."""

import random
from concurrent.futures import ThreadPoolExecutor, wait
from datetime import timedelta

from webhook_app.store.suppressions import suppressions
from webhook_app.store.suppressions.changes import changes_since, latest_seq
from webhook_app.store.suppressions.suppressions import Suppression

WRITERS, ROUNDS = 8, 20


def test_a_reader_gets_every_change_of_eight_writers_once_and_in_order(engine, now):
    written: list[int] = []

    def write(place):
        chance = random.Random(place)
        mine = []
        for turn in range(ROUNDS):
            with engine.begin() as connection:
                contacts = [f"1202555{chance.randrange(40):04}" for _ in range(chance.randrange(1, 6))]
                rows = [
                    Suppression(contact=contact, since=now, actor=f"w{place}", note=f"{place}.{turn}")
                    for contact in dict.fromkeys(contacts)
                ]
                made = suppressions.apply(connection, rows, [], now + timedelta(seconds=turn))
                if chance.random() < 0.3:
                    lifted = suppressions.lift(
                        connection, contacts[0], None, None, None, actor=f"w{place}", now=now
                    )
                    made += suppressions.history(connection, contacts[0], limit=1) if lifted else []
                if chance.random() < 0.2:
                    connection.rollback()
                    continue
                mine += [change.seq for change in made]
        return mine

    seen, since = [], 0
    with ThreadPoolExecutor(WRITERS) as pool:
        writers = [pool.submit(write, place) for place in range(WRITERS)]
        running = True
        while running:
            running = bool(wait(writers, timeout=0).not_done)
            while True:
                with engine.connect() as connection:
                    page = changes_since(connection, since, 7)
                if not page:
                    break
                seen += [change.seq for change in page]
                since = seen[-1]
        for writer in writers:
            written += writer.result()
    assert len(written) > 200
    assert seen == sorted(written) == list(range(1, len(written) + 1))
    with engine.connect() as connection:
        assert latest_seq(connection) == len(written)
