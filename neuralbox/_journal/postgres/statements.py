"""The SQL of a shared journal. One statement serves all changes of a kind in a group; values are bound by name.

The guards say what `transitions.FOLLOWS` says, and more: who may make a change. Only the owner sends, and only while its
lease holds. What came of a request, its end included, may be said by its owner and by whoever sent it last, since a fact
stays one although its owner changed; nobody else may, who may speak of another sending. An owner whose lease is over never comes back, so taking over a record compares the owner it had: of two
who find it free, one gets it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, LiteralString

from ..protocol import ACCEPTED, FINAL, PLANNED, SAVED, SENDING

STATES: Final[Mapping[int, str]] = {0: PLANNED, 1: SENDING, 2: ACCEPTED, 3: FINAL, 4: SAVED}
NUMBERS: Final[Mapping[str, int]] = {state: number for number, state in STATES.items()}

# ruff: noqa: S608 - built of constants

ALIVE: Final = "EXISTS (SELECT 1 FROM neuralbox.owner w WHERE w.number = r.owner AND w.lease_until > clock_timestamp())"
"""Whether somebody works on `r`."""

CHARGED: Final = """coalesce(r.tokens, CASE WHEN r.status = 'completed' OR NOT %(failure_is_free)s THEN greatest(r.price, 0) ELSE 0 END)"""
"""What `r` was charged: a failed one of which the service says no charge cost its price where failures are not free."""

CHANGES: Final[Mapping[str, LiteralString]] = {
    # Of a run with a budget what leaves beside it is marked by a price too, so that its end is counted in `run.spent`. A run without
    # one is locked, so that who gives it the first budget finds what has just left.
    SENDING: """
        WITH free AS MATERIALIZED (SELECT 1 FROM neuralbox.run u WHERE u.id = %(run)s AND u.budget IS NULL FOR KEY SHARE)
        UPDATE neuralbox.record r SET state = 1, unsure = false, given_up = false, account = %(account)s, sender = %(owner)s,
            attempt = r.attempt + 1, opens = NULL, unsettled = NULL, sent_at = g.at, claim = g.claim, claim_key = g.claim_key, mark = g.mark,
            price = CASE WHEN EXISTS (SELECT FROM free) THEN r.price ELSE coalesce(r.price, 0) END
        FROM unnest(%(key)s::text[], %(at)s::float8[], %(claim)s::text[], %(claim_key)s::text[], %(mark)s::bytea[])
            AS g (key, at, claim, claim_key, mark)
        WHERE r.run = %(run)s AND r.key = g.key AND r.owner = %(owner)s AND r.state IN (0, 1)
            AND EXISTS (SELECT 1 FROM neuralbox.owner w
                WHERE w.number = %(owner)s AND w.lease_until > clock_timestamp() + make_interval(secs => %(grace)s))
        RETURNING r.key""",
    # The same id again changes nothing, and counts as made.
    ACCEPTED: """
        UPDATE neuralbox.record r SET state = greatest(r.state, 2::smallint), account = %(account)s, unsure = false,
            claim = NULL, accepted_at = CASE WHEN r.state < 2 THEN g.at ELSE r.accepted_at END, gen_id = g.id,
            gen_is_int = g.is_int, kind = coalesce(g.kind, r.kind), model = coalesce(g.model, r.model), unsettled = NULL,
            brief = %(brief)s, kept = CASE WHEN NOT g.waits THEN -1 WHEN r.state < 2 OR r.kept < 0 THEN 0 ELSE r.kept END,
            news = r.news OR (r.state < 2 AND r.owner IS DISTINCT FROM %(owner)s)
        FROM unnest(%(key)s::text[], %(at)s::float8[], %(id)s::text[], %(is_int)s::boolean[], %(kind)s::text[],
            %(model)s::text[], %(waits)s::boolean[]) AS g (key, at, id, is_int, kind, model, waits)
        WHERE r.run = %(run)s AND r.key = g.key AND ((r.state < 2 AND r.owner = %(owner)s)
            OR (r.state = 1 AND r.sender = %(owner)s) OR (r.state > 1 AND r.gen_id = g.id))
        RETURNING r.key""",
    # What a failed one was charged stays spent when it is tried again, also where nobody has counted it yet.
    PLANNED: f"""
        WITH old AS MATERIALIZED (SELECT r.id, r.price IS NULL AS is_counted, CASE WHEN r.state = 3 THEN {CHARGED} ELSE 0 END AS charged
                FROM neuralbox.record r WHERE r.run = %(run)s AND r.key = ANY(%(key)s) FOR UPDATE),
            done AS (UPDATE neuralbox.record r SET state = 0, account = NULL, unsure = false, unsettled = NULL, claim = NULL,
                    gen_id = NULL, gen_is_int = NULL, kind = NULL, model = NULL, price = NULL, status = NULL, tokens = NULL,
                    charged_before = r.charged_before + old.charged, sent_at = NULL, accepted_at = NULL, final_at = NULL,
                    owner = CASE WHEN r.state = 3 THEN %(owner)s ELSE r.owner END, given_up = r.given_up AND r.state < 3,
                    news = r.news OR (r.state = 1 AND r.owner IS DISTINCT FROM %(owner)s)
                FROM old WHERE r.id = old.id AND ((r.state < 2 AND (r.owner = %(owner)s OR r.sender = %(owner)s))
                    OR (r.state = 3 AND r.status IS DISTINCT FROM 'completed'))
                RETURNING r.key, CASE WHEN old.is_counted THEN 0 ELSE old.charged END AS charged),
            paid AS (UPDATE neuralbox.run SET spent = spent + (SELECT sum(charged) FROM done)
                WHERE id = %(run)s AND EXISTS (SELECT FROM done WHERE charged > 0))
        SELECT key FROM done""",
    FINAL: """
        WITH g AS (SELECT * FROM unnest(%(key)s::text[], %(at)s::float8[], %(status)s::text[], %(tokens)s::bigint[],
                %(outcome)s::text[]) AS g (key, at, status, tokens, outcome)),
            done AS (UPDATE neuralbox.record r SET state = greatest(r.state, 3::smallint), final_at = g.at,
                    status = g.status, tokens = g.tokens,
                    news = r.news OR (r.state = 2 AND r.owner IS DISTINCT FROM %(owner)s)
                FROM g WHERE r.run = %(run)s AND r.key = g.key
                    AND ((r.state IN (2, 3) AND (r.owner = %(owner)s OR r.sender = %(owner)s))
                        OR (r.state = 0 AND r.owner = %(owner)s) OR (r.state = 4 AND r.final_at = g.at))
                RETURNING r.id, r.key),
            kept AS (INSERT INTO neuralbox.outcome (id, body) SELECT done.id, g.outcome FROM done JOIN g USING (key)
                ON CONFLICT (id) DO UPDATE SET body = excluded.body)
        SELECT key FROM done""",
    SAVED: """
        UPDATE neuralbox.record r SET state = 4, saved_at = g.at, path = g.path, size_bytes = g.size_bytes
        FROM unnest(%(key)s::text[], %(at)s::float8[], %(path)s::bytea[], %(size_bytes)s::bigint[])
            AS g (key, at, path, size_bytes)
        WHERE r.run = %(run)s AND r.key = g.key AND r.state IN (3, 4)
        RETURNING r.key""",
}
"""Each returns the keys that were changed. Made twice, since the answer to a commit was lost, each comes to the same: so an
end is said again of what is saved by now, if it is the same end."""

SENDING_PRICED: Final[LiteralString] = """
    WITH g AS (SELECT * FROM unnest(%(key)s::text[], %(at)s::float8[], %(claim)s::text[], %(claim_key)s::text[],
                %(mark)s::bytea[], %(price)s::int[]) AS g (key, at, claim, claim_key, mark, price)),
        done AS (UPDATE neuralbox.record r SET state = 1, unsure = false, given_up = false, account = %(account)s, sender = %(owner)s,
                attempt = r.attempt + 1, opens = NULL, unsettled = NULL, sent_at = g.at, claim = g.claim,
                claim_key = g.claim_key, mark = g.mark, price = g.price
            FROM g JOIN neuralbox.record o ON o.run = %(run)s AND o.key = g.key
            WHERE r.id = o.id AND r.owner = %(owner)s AND r.state IN (0, 1)
                AND EXISTS (SELECT 1 FROM neuralbox.owner w
                    WHERE w.number = %(owner)s AND w.lease_until > clock_timestamp() + make_interval(secs => %(grace)s))
            RETURNING r.key, greatest(g.price, 0) - greatest(o.price, 0) AS more),
        paid AS (UPDATE neuralbox.allotment SET amount = amount - (SELECT coalesce(sum(more), 0) FROM done)
            WHERE owner = %(owner)s AND what = 'tokens' AND run = %(run)s)
    SELECT key FROM done"""
"""`SENDING` for a worker that keeps the run's budget: the price goes from what it holds to the record."""

PLAN: Final = """
    WITH given AS (SELECT * FROM unnest(%(keys)s::text[], %(digests)s::text[], %(bodies)s::text[]) WITH ORDINALITY
            AS g (key, digest, body, place)),
        made AS (INSERT INTO neuralbox.record (run, key, fingerprint, owner, planned_at)
            SELECT %(run)s, g.key, g.digest, %(owner)s, %(at)s FROM given g
            WHERE NOT EXISTS (SELECT 1 FROM neuralbox.record r WHERE r.run = %(run)s AND r.key = g.key)
            ORDER BY g.place ON CONFLICT (run, key) DO NOTHING RETURNING id, key),
        kept AS (INSERT INTO neuralbox.request (id, body) SELECT made.id, given.body FROM made JOIN given USING (key))
    SELECT id, key FROM made"""

_TAKE: Final = """
    UPDATE neuralbox.record r SET owner = %(owner)s, unsure = r.state = 1, unsettled = NULL, news = false, given_up = false,
        kept = %(kept)s, brief = %(brief)s, price = CASE WHEN r.state > 0 THEN r.price END
    FROM found WHERE r.id = found.id AND r.owner IS NOT DISTINCT FROM found.owner AND r.state {states}
    RETURNING r.id"""

TAKE_KEYS: Final = f"""
    WITH found AS MATERIALIZED (SELECT r.id, r.owner FROM neuralbox.record r
        WHERE r.run = %(run)s AND r.key = ANY(%(keys)s) AND r.state < 3
            AND (NOT {ALIVE} OR (r.given_up AND r.owner <> %(owner)s)))
    {_TAKE.format(states="< 3")}"""

TAKE_FREE: Final = """
    WITH found AS (SELECT r.id FROM neuralbox.record r WHERE r.run = %(run)s AND r.state = 0 AND r.owner IS NULL
        ORDER BY r.id LIMIT %(most)s FOR UPDATE SKIP LOCKED)
    UPDATE neuralbox.record r SET owner = %(owner)s FROM found WHERE r.id = found.id RETURNING r.id"""

TAKE_LEFT: Final = f"""
    WITH found AS MATERIALIZED (SELECT r.id, r.owner FROM neuralbox.record r
        WHERE r.run = %(run)s AND r.state < 3 AND NOT {ALIVE} ORDER BY r.id LIMIT %(most)s)
    {_TAKE.format(states="< 3")}"""

TAKE_ENDED: Final = f"""
    WITH found AS MATERIALIZED (SELECT r.id, r.owner FROM neuralbox.record r
        WHERE r.run = %(run)s AND r.id > %(after)s AND r.state = 3 AND (r.status = 'completed') = %(completed)s
            AND NOT {ALIVE} ORDER BY r.id LIMIT %(most)s)
    {_TAKE.format(states="= 3")}"""

OTHERS_WORK: Final = """
    SELECT EXISTS (SELECT 1 FROM neuralbox.record r
        WHERE r.run = %(run)s AND r.state < 3 AND r.owner IS DISTINCT FROM %(owner)s AND NOT r.given_up)"""

GIVE_UP: Final = """
    UPDATE neuralbox.record r SET given_up = true
    WHERE r.run = %(run)s AND r.key = ANY(%(keys)s) AND r.owner = %(owner)s AND r.state < 3"""

UNSURE: Final = """
    UPDATE neuralbox.record r SET unsure = true, unsettled = NULL, claim = %(claim)s
    WHERE r.run = %(run)s AND r.key = %(key)s AND r.state = 1 AND r.sender = %(owner)s"""

# What is under way for an account, and whose the generations of a walk are: one statement, so that all of it is of one
# moment. What a walk shows was `sending` before it existed, so here it is either still that, or has its id.
VIEW: Final = f"""
    SELECT r.run, r.key, r.state, r.claim, r.unsure OR NOT {ALIVE}, r.gen_id, r.gen_is_int, r.kind, r.model, r.mark,
        r.widened, r.opens
    FROM neuralbox.record r WHERE r.account = %(account)s AND r.state = 1
    UNION ALL
    SELECT r.run, r.key, r.state, NULL, false, r.gen_id, r.gen_is_int, r.kind, r.model, r.mark, r.widened, r.opens
    FROM neuralbox.record r WHERE r.account = %(account)s AND r.gen_id = ANY(%(ids)s) AND r.gen_id <> ''"""

# The account's row is locked first, so that adoptions go one after the other. An adopter may have taken what an equal
# request had made, which may then get what was left: the window of each opens as early as the adopter's own.
LOCK_ACCOUNT: Final = "SELECT 1 FROM neuralbox.account WHERE id = %(account)s FOR UPDATE"

ADOPT: Final = """
    UPDATE neuralbox.record r SET state = 2, accepted_at = %(at)s, gen_id = %(id)s, gen_is_int = %(is_int)s,
        kind = coalesce(%(kind)s, r.kind), model = coalesce(%(model)s, r.model), claim = NULL, unsure = false,
        unsettled = NULL, kept = -1
    WHERE r.run = %(run)s AND r.key = %(key)s AND r.state = 1 AND r.owner = %(owner)s
        AND r.claim_key = %(claim_key)s
    RETURNING r.mark"""

WIDEN: Final = """
    UPDATE neuralbox.record r SET widened = r.widened + 1, opens = least(coalesce(r.opens, 'Infinity'), %(sent)s)
    WHERE r.account = %(account)s AND r.state = 1 AND r.mark IS NOT DISTINCT FROM %(mark)s"""

# The tokens of who sent it are still set aside for it.
ABSENT: Final = """
    UPDATE neuralbox.record r SET state = 0, account = NULL, claim = NULL, unsure = false, unsettled = NULL, sent_at = NULL,
        price = CASE WHEN r.sender = r.owner THEN r.price END
    WHERE r.run = %(run)s AND r.key = %(key)s AND r.state = 1 AND r.owner = %(owner)s
        AND r.claim_key = %(claim_key)s AND r.widened = %(widened)s"""

STANDING: Final = f"""
    SELECT r.state, r.gen_id, r.gen_is_int, r.owner, r.kind, r.model, {ALIVE}, r.claim_key
    FROM neuralbox.record r WHERE r.run = %(run)s AND r.key = %(key)s"""

SUMMARY: Final = """
    SELECT state, count(*), count(*) FILTER (WHERE status = 'completed'), coalesce(sum(tokens), 0)::bigint,
        sum(charged_before)::bigint, min(planned_at), max(greatest(planned_at, sent_at, accepted_at, final_at, saved_at))
    FROM neuralbox.record WHERE run = %(run)s GROUP BY state"""

WORKERS: Final = """
    SELECT number, pid, host, since, about FROM neuralbox.owner
    WHERE run = %(run)s AND about IS DISTINCT FROM 'keeper' AND lease_until > clock_timestamp() ORDER BY number"""

SHARES: Final = """
    SELECT r.owner, count(*) FILTER (WHERE r.state IN (1, 2)), count(*) FILTER (WHERE r.state > 2 AND r.final_at > %(since)s),
        coalesce(sum(r.tokens), 0)::bigint
    FROM neuralbox.record r WHERE r.run = %(run)s AND r.owner = ANY(%(owners)s) GROUP BY r.owner"""

# The first id of each span from one on, and how many requests there are from there on.
SPANS: Final = """
    SELECT id, whole FROM (SELECT r.id, row_number() OVER (ORDER BY r.id) AS place, count(*) OVER () AS whole
        FROM neuralbox.record r WHERE r.run = %(run)s AND r.id >= %(from)s) f
    WHERE (place - 1) %% %(size)s = 0 ORDER BY id"""

# Sorted span by span, so that each is read by the ids' own index and not by a look at the whole table.
MARKS: Final = """
    SELECT g.number, r.* FROM unnest(%(numbers)s::int[], %(firsts)s::bigint[], %(lasts)s::bigint[]) AS g (number, first, last)
        CROSS JOIN LATERAL (SELECT r.id, r.key, r.state, r.gen_id, r.gen_is_int, r.kind, r.model, r.status, r.tokens, r.path,
                r.sent_at, r.accepted_at, r.final_at, r.owner
            FROM neuralbox.record r WHERE r.run = %(run)s AND r.id >= g.first AND r.id < g.last ORDER BY r.id) r"""

TELL: Final = "UPDATE neuralbox.owner SET about = %(about)s WHERE number = %(owner)s"

LEAVE: Final = """
    WITH gone AS (DELETE FROM neuralbox.owner WHERE number = %(owner)s)
    DELETE FROM neuralbox.allotment WHERE owner = %(owner)s"""

FORGET: Final = """
    WITH gone AS (DELETE FROM neuralbox.owner WHERE lease_until < clock_timestamp() - %(after)s::interval RETURNING number)
    DELETE FROM neuralbox.allotment p USING gone WHERE p.owner = gone.number"""

PLAN_FREE: Final = PLAN.replace("%(owner)s", "NULL")
"""Plans what nobody works on yet."""

LEAVE_HINT: Final = """
    INSERT INTO neuralbox.hint (run, gen_id, event)
    SELECT r.run, r.gen_id, %(event)s FROM neuralbox.record r JOIN neuralbox.run u ON u.id = r.run
    WHERE u.id = %(run)s AND r.account = u.account AND r.gen_id = %(id)s AND r.state = 2
    ON CONFLICT DO NOTHING RETURNING number"""
"""Leaves a hint about a generation that the run has as accepted."""
