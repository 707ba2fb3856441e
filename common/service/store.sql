-- What the loop of every service remembers beside the service's own tables, and all it says to the database.
-- Its tables begin with loop_: they are not part of what replay rebuilds and compare compares.

-- schema: 1 the loop
CREATE TABLE loop_answered (        -- every command that was answered for good, for ever
    id uuid PRIMARY KEY,
    digest bytea NOT NULL,          -- SHA-256 over type, actor and body
    status smallint NOT NULL,       -- bus.v1.Reply.Status: OK or REFUSED
    reason text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    at timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE TABLE loop_stream (          -- the last version of every stream of ours; its row lock orders the versions
    id text PRIMARY KEY,
    version bigint NOT NULL
) WITH (fillfactor = 70);
CREATE TABLE loop_outbox (          -- own events until the event log acknowledges them
    id uuid PRIMARY KEY,
    stream text NOT NULL,
    version bigint NOT NULL,
    bytes bytea NOT NULL,           -- eventlog.v1.Event, exactly as it will be hashed
    made_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    refused text,                   -- why the log will never take it; waits for an operator
    UNIQUE (stream, version)
);
CREATE TABLE loop_asked (           -- requests to others until they are answered
    id uuid PRIMARY KEY,
    service text NOT NULL,
    type text NOT NULL,
    body bytea NOT NULL,
    correlation text NOT NULL,
    next_try_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    tries integer NOT NULL DEFAULT 0,
    parked boolean NOT NULL DEFAULT false
);
CREATE TABLE loop_cursor (          -- one row: how much of the log has been heard, and what its head was
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL DEFAULT 0,
    log_id text NOT NULL DEFAULT '',
    head bigint NOT NULL DEFAULT 0,
    root bytea NOT NULL DEFAULT ''
) WITH (fillfactor = 10);
INSERT INTO loop_cursor DEFAULT VALUES;
CREATE TABLE loop_incident (        -- what stands still until an operator has looked
    id uuid PRIMARY KEY,
    kind smallint NOT NULL,         -- service.v1.Incident.Kind
    stream text NOT NULL UNIQUE,
    subject text NOT NULL,
    position bigint NOT NULL,
    type text NOT NULL,
    reason text NOT NULL,
    opened_at timestamptz NOT NULL DEFAULT clock_timestamp(),
    redrive boolean NOT NULL DEFAULT false
);
CREATE TABLE loop_parked (          -- heard events that wait behind an incident, in their order
    position bigint PRIMARY KEY,
    incident uuid NOT NULL REFERENCES loop_incident,
    stream text NOT NULL,
    subject text NOT NULL,
    bytes bytea NOT NULL
);
CREATE INDEX loop_parked_incident ON loop_parked (incident, position);
CREATE TABLE loop_instance (        -- one row for each process, written every two seconds
    name text PRIMARY KEY,
    service text NOT NULL,
    rule_set text NOT NULL,
    rehearsal boolean NOT NULL,
    leads boolean NOT NULL,
    broker_alive boolean NOT NULL,
    feed_alive boolean NOT NULL,
    commands bigint NOT NULL,
    queries bigint NOT NULL,
    batches bigint NOT NULL,
    head bigint NOT NULL,
    uptime_ms bigint NOT NULL,
    reported_at timestamptz NOT NULL
) WITH (fillfactor = 10);

-- schema: 2 skipping
ALTER TABLE loop_incident
    ADD COLUMN skip_proposed_by text NOT NULL DEFAULT '',
    ADD COLUMN skip_reason text NOT NULL DEFAULT '',
    ADD COLUMN skip_positions bigint[] NOT NULL DEFAULT '{}',
    ADD COLUMN skip boolean NOT NULL DEFAULT false;

-- schema: 3 personal text
CREATE TABLE loop_private_key (     -- one of each case that personal text was taken for; erasing deletes it
    case_id text PRIMARY KEY,
    key bytea NOT NULL CHECK (length(key) = 32)
);
CREATE TABLE loop_private (         -- the texts themselves; the log and all other tables have their seals
    case_id text REFERENCES loop_private_key ON DELETE CASCADE,
    seal bytea CHECK (length(seal) = 32),
    ciphertext bytea NOT NULL,      -- a nonce of 24 bytes, XChaCha20-Poly1305
    PRIMARY KEY (case_id, seal)
);
CREATE TABLE loop_private_answered (  -- commands that brought personal text, accepted or refused
    id uuid PRIMARY KEY,
    case_id text NOT NULL
);
CREATE INDEX loop_private_answered_case ON loop_private_answered (case_id);
CREATE TABLE loop_erasure (         -- cases whose personal text was destroyed; none is taken for them any more
    case_id text PRIMARY KEY,
    at_us bigint NOT NULL,          -- the first time
    ground text NOT NULL,
    law text NOT NULL,
    erased_by text NOT NULL
);

-- schema: 4 texts go with their key by a trigger
-- A reference has the key looked for with every text that is added. What it promised beside that, that nothing is added to
-- a case without its key, is kept by the lock that whoever has a key in hand holds (private.c).
ALTER TABLE loop_private DROP CONSTRAINT loop_private_case_id_fkey;
CREATE FUNCTION loop_forget_texts() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    DELETE FROM loop_private WHERE case_id = old.case_id;
    RETURN NULL;
END $$;
CREATE TRIGGER loop_forget_texts AFTER DELETE ON loop_private_key
    FOR EACH ROW EXECUTE FUNCTION loop_forget_texts();

-- Inbox: the answers given. The digest of a command that brought personal text of a case that has been erased is empty:
-- it would tell whether a guess at the text is right.

-- name: loop_find_answers
SELECT id, digest, status, reason, type, body FROM loop_answered WHERE id = ANY ($1::uuid[]);

-- name: loop_keep_answers
INSERT INTO loop_answered (id, digest, status, reason, type, body)
SELECT given.id, CASE WHEN erasure.case_id IS NULL THEN digest ELSE '' END, status, reason, type, body
  FROM unnest($1::uuid[], $2::bytea[], $3::bigint[], $4::text[], $5::text[], $6::bytea[])
       AS given (id, digest, status, reason, type, body)
  LEFT JOIN loop_private_answered AS private ON private.id = given.id
  LEFT JOIN loop_erasure AS erasure ON erasure.case_id = private.case_id;

-- name: loop_read_only
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- Events made here: their versions, and the way to the event log.

-- The rows stay locked until the transaction ends, so that versions are given in the order of commits.
-- name: loop_hold_streams
SELECT id, version FROM loop_stream WHERE id = ANY ($1::text[]) ORDER BY id FOR UPDATE;

-- name: loop_keep_versions
UPDATE loop_stream SET version = given.version
  FROM unnest($1::text[], $2::bigint[]) AS given (id, version)
 WHERE loop_stream.id = given.id;

-- There is no row to lock before the first event. Whoever begins the stream at the same time is told that it is there.
-- name: loop_begin_streams
INSERT INTO loop_stream (id, version) SELECT * FROM unnest($1::text[], $2::bigint[]);

-- Catching up: the last version of a stream, the next one known, and what is on its way as that version.
-- name: loop_last_version
SELECT version FROM loop_stream WHERE id = $1;

-- name: loop_catch_version
INSERT INTO loop_stream (id, version) VALUES ($1, $2::bigint) ON CONFLICT (id) DO UPDATE SET version = excluded.version;

-- name: loop_own_bytes
SELECT bytes FROM loop_outbox WHERE stream = $1 AND version = $2::bigint;

-- name: loop_keep_events
INSERT INTO loop_outbox (id, stream, version, bytes)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::bigint[], $4::bytea[]);

-- name: loop_drop_events
DELETE FROM loop_outbox WHERE id = ANY ($1::uuid[]);

-- name: loop_load_events
SELECT id, bytes FROM loop_outbox WHERE id = ANY ($1::uuid[]) AND refused IS NULL ORDER BY stream, version;

-- Is anything left behind of which the id is not before this one? What has gone out stands in the table and its indexes until
-- they are cleared up: looking at all of it takes the longer the busier the service is.
-- name: loop_some_left
SELECT EXISTS (SELECT FROM loop_outbox
                WHERE id >= $1::uuid AND refused IS NULL
                  AND made_at < clock_timestamp() - $2::bigint * interval '1 millisecond');

-- name: loop_load_left_events
SELECT id, bytes
  FROM loop_outbox AS left_behind
 WHERE made_at < clock_timestamp() - $1::bigint * interval '1 millisecond'
   AND refused IS NULL
   AND NOT EXISTS (SELECT FROM loop_outbox AS stuck
                    WHERE stuck.stream = left_behind.stream AND stuck.refused IS NOT NULL)
 ORDER BY stream, version
 LIMIT 500;

-- name: loop_refuse_event
UPDATE loop_outbox SET refused = $2 WHERE id = $1::uuid RETURNING stream, bytes;

-- Requests made of others.

-- name: loop_keep_asked
INSERT INTO loop_asked (id, service, type, body, correlation)
SELECT * FROM unnest($1::uuid[], $2::text[], $3::text[], $4::bytea[], $5::text[])
    ON CONFLICT (id) DO NOTHING;

-- name: loop_take_asked
UPDATE loop_asked
   SET tries = tries + 1,
       next_try_at = clock_timestamp() + least($1::bigint * 2 ^ least(tries, 10), 30000) * interval '1 millisecond'
 WHERE id IN (SELECT id FROM loop_asked WHERE next_try_at <= clock_timestamp() AND NOT parked
               ORDER BY next_try_at LIMIT 64)
RETURNING id, service, type, body, correlation;

-- name: loop_drop_asked
DELETE FROM loop_asked WHERE id = $1::uuid AND NOT parked RETURNING service, type, body, correlation;

-- name: loop_park_asked
UPDATE loop_asked SET parked = true WHERE id = $1::uuid RETURNING type;

-- Hearing the log. $1 of loop_lease is the server process in which we hold the lease already, or 0.

-- name: loop_lease
SELECT pg_backend_pid(),
       CASE WHEN pg_backend_pid() = $1::bigint THEN true
            ELSE pg_try_advisory_lock(hashtextextended('tildel lease ' || current_schema(), 0)) END,
       (SELECT count(*) FROM loop_incident WHERE redrive OR skip);

-- name: loop_release
SELECT pg_advisory_unlock(hashtextextended('tildel lease ' || current_schema(), 0));

-- name: loop_ping
SELECT pg_backend_pid();

-- name: loop_load_cursor
SELECT position, log_id, head, root FROM loop_cursor;

-- name: loop_take_cursor
SELECT position FROM loop_cursor FOR UPDATE;

-- name: loop_move_cursor
UPDATE loop_cursor
   SET position = $1::bigint,
       log_id = CASE WHEN $2::text = '' THEN log_id ELSE $2 END,
       head = greatest(head, $3::bigint),
       root = CASE WHEN $3::bigint >= head AND $3::bigint > 0 THEN $4::bytea ELSE root END;

-- Incidents.

-- name: loop_open_incident
INSERT INTO loop_incident (id, kind, stream, subject, position, type, reason)
VALUES ($1::uuid, $2::smallint, $3, $4, $5::bigint, $6, $7)
    ON CONFLICT (stream) DO UPDATE SET reason = excluded.reason, redrive = false;

-- name: loop_park
INSERT INTO loop_parked (position, incident, stream, subject, bytes)
SELECT $1::bigint, id, $3, $4, $5::bytea FROM loop_incident WHERE stream = $2;

-- name: loop_load_held
SELECT DISTINCT parked.stream, parked.subject, incident.stream
  FROM loop_parked AS parked JOIN loop_incident AS incident ON incident.id = parked.incident;

-- name: loop_load_redriven
SELECT id, kind, stream, skip FROM loop_incident WHERE redrive OR skip ORDER BY opened_at LIMIT 100;

-- name: loop_load_parked
SELECT position, bytes FROM loop_parked WHERE incident = $1::uuid ORDER BY position LIMIT 1;

-- name: loop_unpark
DELETE FROM loop_parked WHERE position = $1::bigint;

-- name: loop_close_incident
DELETE FROM loop_incident WHERE id = $1::uuid;

-- name: loop_reopen_incident
UPDATE loop_incident
   SET redrive = false, reason = $2, skip = false,
       skip_proposed_by = CASE WHEN skip THEN '' ELSE skip_proposed_by END,
       skip_reason = CASE WHEN skip THEN '' ELSE skip_reason END,
       skip_positions = CASE WHEN skip THEN '{}' ELSE skip_positions END
 WHERE id = $1::uuid;

-- name: loop_resend_events
UPDATE loop_outbox SET refused = NULL WHERE stream = $1 AND refused IS NOT NULL;

-- name: loop_ask_again
UPDATE loop_asked SET parked = false, next_try_at = clock_timestamp() WHERE id = $1::uuid;

-- name: loop_find_incident
SELECT id, kind, redrive, skip, skip_proposed_by, skip_reason,
       array_to_string(ARRAY(SELECT parked.position FROM loop_parked AS parked
                              WHERE parked.incident = incident.id
                                AND parked.position = ANY (incident.skip_positions)
                              ORDER BY parked.position), ',')
  FROM loop_incident AS incident WHERE stream = $1 FOR UPDATE;

-- name: loop_redrive
UPDATE loop_incident SET redrive = true WHERE id = $1::uuid;

-- What waits behind an incident, in order.
-- name: loop_list_waiting
SELECT position, stream, bytes FROM loop_parked WHERE incident = $1::uuid ORDER BY position LIMIT $2::bigint;

-- name: loop_propose_skip
UPDATE loop_incident SET skip_proposed_by = $2, skip_reason = $3, skip_positions = $4::bigint[] WHERE id = $1::uuid;

-- name: loop_skip
UPDATE loop_incident SET skip = true, skip_positions = $2::bigint[] WHERE id = $1::uuid;

-- name: loop_drop_skipped
WITH dropped AS (
    DELETE FROM loop_parked AS parked
     USING loop_incident AS incident
     WHERE incident.id = $1::uuid AND parked.incident = incident.id
       AND parked.position = ANY (incident.skip_positions)
    RETURNING parked.position
)
SELECT position FROM dropped ORDER BY position;

-- name: loop_list_incidents
SELECT id, kind, stream, subject, position, type, reason,
       (SELECT count(*) FROM loop_parked AS parked WHERE parked.incident = incident.id),
       (extract(epoch FROM opened_at) * 1000000)::bigint, redrive, skip_proposed_by, skip_reason,
       cardinality(skip_positions), skip
  FROM loop_incident AS incident
 WHERE $2::text = '' OR stream = $2
 ORDER BY opened_at
 LIMIT $1::bigint;

-- Personal text.

-- name: loop_note_private (many)
INSERT INTO loop_private_answered (case_id, id) SELECT * FROM unnest($1::text[], $2::uuid[]) ON CONFLICT (id) DO NOTHING;

-- name: loop_hold_private (many)
SELECT case_id, pg_advisory_xact_lock(hashtextextended('tildel private ' || current_schema() || ' ' || case_id, 0))
  FROM unnest($1::text[]) AS wanted (case_id);

-- name: loop_load_private_key (many)
SELECT wanted.case_id, key, coalesce(at_us, 0), coalesce(ground, ''), coalesce(law, ''), coalesce(erased_by, '')
  FROM unnest($1::text[]) AS wanted (case_id)
  LEFT JOIN loop_private_key USING (case_id)
  LEFT JOIN loop_erasure USING (case_id);

-- name: loop_count_private
SELECT count(*) FROM loop_private WHERE case_id = $1;

-- name: loop_keep_private_key (many)
INSERT INTO loop_private_key (case_id, key) SELECT * FROM unnest($1::text[], $2::bytea[]);

-- name: loop_keep_private (many)
INSERT INTO loop_private (case_id, seal, ciphertext)
SELECT given.case_id, given.seal, given.ciphertext
  FROM unnest($1::text[], $2::bytea[], $3::bytea[]) AS given (case_id, seal, ciphertext)
 WHERE NOT EXISTS (SELECT FROM loop_private AS kept WHERE kept.case_id = given.case_id AND kept.seal = given.seal);

-- name: loop_open_private
SELECT seal, ciphertext FROM loop_private WHERE case_id = $1 AND seal = ANY ($2::bytea[]);

-- name: loop_drop_private
DELETE FROM loop_private_key WHERE case_id = $1;

-- name: loop_blank_digests
UPDATE loop_answered SET digest = '' WHERE id IN (SELECT id FROM loop_private_answered WHERE case_id = $1);

-- name: loop_keep_erasure
INSERT INTO loop_erasure (case_id, at_us, ground, law, erased_by) VALUES ($1, $2::bigint, $3, $4, $5)
    ON CONFLICT (case_id) DO NOTHING;

-- How the service is doing.

-- name: loop_report
INSERT INTO loop_instance
VALUES ($1, $2, $3, $4::boolean, $5::boolean, $6::boolean, $7::boolean, $8::bigint, $9::bigint, $10::bigint,
        $11::bigint, $12::bigint, clock_timestamp())
    ON CONFLICT (name) DO UPDATE
   SET service = excluded.service, rule_set = excluded.rule_set, rehearsal = excluded.rehearsal,
       leads = excluded.leads, broker_alive = excluded.broker_alive, feed_alive = excluded.feed_alive,
       commands = excluded.commands, queries = excluded.queries, batches = excluded.batches,
       head = excluded.head, uptime_ms = excluded.uptime_ms, reported_at = excluded.reported_at;

-- name: loop_leave
DELETE FROM loop_instance WHERE name = $1;

-- name: loop_list_instances
SELECT name, service, rule_set, rehearsal, leads, broker_alive, feed_alive, commands, queries, batches, head,
       uptime_ms, (extract(epoch FROM clock_timestamp() - reported_at) * 1000)::bigint
  FROM loop_instance
 WHERE reported_at > clock_timestamp() - interval '1 hour'
 ORDER BY name
 LIMIT 100;

-- name: loop_count
SELECT (SELECT count(*) FROM loop_asked),
       (SELECT count(*) FROM loop_parked),
       (SELECT position FROM loop_cursor),
       (SELECT count(*) FROM loop_incident);

-- Reads all of it: see loop_some_left.
-- name: loop_count_outbox
SELECT count(*), coalesce(extract(epoch FROM clock_timestamp() - min(made_at)) * 1000, 0)::bigint FROM loop_outbox;

-- A rebuild can be made again: its commits do not wait for the disk.
-- name: loop_rebuild
SELECT set_config('synchronous_commit', 'off', false);

-- name: loop_schema_exists
SELECT count(*) FROM pg_namespace WHERE nspname = $1;
