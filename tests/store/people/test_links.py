"""Linked keys are found from each other, by the statement for few contacts and by the one for thousands."""

import threading
from contextlib import closing

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from webhook_app.store.people import links
from webhook_app.store.postgres.arrays import int_array, text_array
from webhook_app.store.postgres.engine import connect, driver

PHONES = tuple(f"1202555011{n}" for n in range(4))
USERS = tuple(f"US.{n}" for n in range(4))
PARENTS = ("US.ENT.1", "US.ENT.2")

LINK = f"""
WITH given AS (SELECT * FROM unnest(%s::text[], %s::text[], %s::bigint[]) AS l(user_id, contact, at)),
{links.link_ctes("given l")}
SELECT user_id, contact FROM linked
"""
LEAVE = f"""
WITH concerned AS (SELECT * FROM unnest(%s::text[]) AS l(contact)), {links.queue_ctes("concerned")} SELECT
"""
FEW = f"""
WITH RECURSIVE person (root, key, is_leaf) AS (
  SELECT k COLLATE "C", k COLLATE "C", FALSE FROM unnest(%s::text[]) k
  UNION
  SELECT p.root, other.key, other.is_leaf FROM person p CROSS JOIN LATERAL {links.OTHER_KEYS} AS other
)
SELECT DISTINCT root, key FROM person
"""

pairs = st.one_of(
    st.tuples(st.sampled_from(USERS), st.sampled_from(PHONES)),
    st.tuples(st.sampled_from(PARENTS), st.sampled_from(USERS)),
    st.tuples(st.sampled_from(PHONES), st.sampled_from(PHONES)).filter(lambda pair: pair[0] != pair[1]),
)


def link(connection, *batch):
    users, contacts = zip(*batch, strict=True)
    return set(
        connection.execute(
            LINK, [text_array(users), text_array(contacts), int_array([1] * len(batch))]
        ).fetchall()
    )


def join_by_hand(told):
    """Each key to all of its person, by hand."""
    people = {}
    for pair in told:
        whole = set(pair).union(*(people.get(key, ()) for key in pair))
        people.update(dict.fromkeys(whole, whole))
    return people


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(batches=st.lists(st.lists(pairs, min_size=1, max_size=4, unique=True), max_size=5))
def test_any_links_give_the_same_people_as_joining_by_hand(engine, batches):
    with engine.connect() as held:
        connection, told = driver(held), set()
        for batch in batches:
            assert link(connection, *batch) == set(batch) - told
            told.update(batch)
        expected = join_by_hand(told)
        everybody = [*PHONES, *USERS, *PARENTS]
        assert links.people(connection, everybody) == expected
        assert all(links.people(connection, [key]).get(key) == expected.get(key) for key in everybody)
        few = {}
        for root, key in connection.execute(FEW, [everybody]):
            few.setdefault(root, set()).add(key)
        assert few == {key: expected.get(key, {key}) for key in everybody}
        firsts = connection.execute("SELECT user_id FROM contact_links WHERE NOT is_further").fetchall()
        assert len(firsts) == len({user_id for user_id, _ in told})
        held.rollback()


def test_concurrent_contacts_of_a_user_id_are_not_both_its_first(database_url, engine):
    one = connect(database_url, application="tests")
    one.autocommit = False
    link(one, (USERS[0], PHONES[0]))
    came = threading.Event()

    def other():
        with connect(database_url, application="tests") as connection:
            link(connection, (USERS[0], PHONES[1]))
        came.set()

    thread = threading.Thread(target=other)
    thread.start()
    assert not came.wait(0.3)
    one.commit()
    thread.join()
    one.close()
    with engine.connect() as held:
        assert links.people(driver(held), [PHONES[0]])[PHONES[0]] == {USERS[0], *PHONES[:2]}


def test_after_a_rollback_of_the_first_contact_the_next_is_first(database_url, engine):
    with connect(database_url, application="tests") as one:
        one.autocommit = False
        link(one, (USERS[0], PHONES[0]))
        one.rollback()
        link(one, (USERS[0], PHONES[1]))
        one.commit()
    with engine.connect() as held:
        assert links.people(driver(held), [USERS[0]]) == join_by_hand({(USERS[0], PHONES[1])})


def test_a_deleted_person_has_no_links(engine):
    with engine.begin() as held:
        link(driver(held), (USERS[0], PHONES[0]), (USERS[0], PHONES[1]), (PHONES[1], PHONES[2]))
        link(driver(held), (USERS[1], PHONES[3]))
        assert links.forget(held, [USERS[0], *PHONES[:3]]) == 3
        assert links.people(driver(held), [PHONES[0], PHONES[3]]) == join_by_hand({(USERS[1], PHONES[3])})


def test_the_queue_of_new_links_holds_each_contact_once_and_again_while_it_is_being_taken(
    engine, database_url
):
    one, other, third = PHONES[:3]

    def leave(*contacts):
        with closing(connect(database_url, application="tests")) as own:
            own.execute(LEAVE, [list(contacts)])

    leave(one, other, one)
    leave(other, third)
    with engine.begin() as taking:
        assert links.unapplied(taking, 9) == [one, other, third]
        links.take_unapplied(taking, [one, other])
        leave(other, other, third)  # does not wait
    with engine.connect() as reading:
        assert links.unapplied(reading, 9) == [third, other]
    with closing(connect(database_url, application="tests")) as leaving, leaving.transaction():
        leaving.execute(LEAVE, [[other]])
        with engine.begin() as taking:
            links.take_unapplied(taking, [other, third], wait=False)
    with engine.connect() as reading:
        assert links.unapplied(reading, 9) == [other]
