-- What the event log remembers, and everything it says to the database.

-- schema: 1 the log
CREATE TABLE log (                    -- the truth: bytes as they came, in one order
    position bigint NOT NULL PRIMARY KEY CHECK (position > 0),
    stream text NOT NULL,
    version bigint NOT NULL CHECK (version > 0),
    type text NOT NULL,
    bytes bytea NOT NULL,             -- eventlog.v1.Event; what is hashed
    leaf bytea NOT NULL CHECK (octet_length(leaf) = 32),
    appended_at_us bigint NOT NULL,   -- beside the hash, as is the epoch
    epoch bigint NOT NULL
) PARTITION BY RANGE (position);
CREATE TABLE place (                  -- where each version of each stream stands; one event a version, for ever
    stream text NOT NULL,
    version bigint NOT NULL,
    position bigint NOT NULL,
    leaf bytea NOT NULL,
    PRIMARY KEY (stream, version)
);
CREATE TABLE root (                   -- the tree after every append, and what is needed to go on from there
    position bigint PRIMARY KEY,
    root bytea NOT NULL,
    frontier bytea NOT NULL
);
CREATE TABLE head (                   -- one row; its epoch fences writers that were taken over
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL,
    epoch bigint NOT NULL,
    log_id uuid NOT NULL,
    rehearsal boolean NOT NULL,
    root bytea NOT NULL,
    frontier bytea NOT NULL
);

-- Partitions of ten million events are made ahead by the owner's hand, which is the only one that may.
CREATE FUNCTION make_room(up_to bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    size constant bigint := 10000000;
    first bigint := coalesce((SELECT max(substr(c.relname, 5)::bigint) + 1 FROM pg_inherits i
                              JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'log'::regclass), 0);
BEGIN
    FOR part IN first .. (up_to + size) / size LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF log FOR VALUES FROM (%s) TO (%s)',
                       'log_' || part, part * size, (part + 1) * size);
    END LOOP;
    RETURN (up_to + size) / size;
END
$$;
SELECT make_room(1);

-- Nothing that stands in the log changes or goes away, whoever asks: rights first, then a trigger.
CREATE FUNCTION refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is only added to; % on % is refused', TG_OP, TG_TABLE_NAME;
END
$$;
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON log
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON place
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON root
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER never_removed BEFORE DELETE OR TRUNCATE ON head
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
DO $$
DECLARE
    login text := current_setting('tildel.login', true);
BEGIN
    IF login <> '' THEN
        EXECUTE format('REVOKE UPDATE, DELETE ON log, place, root FROM %I', login);
        EXECUTE format('REVOKE DELETE ON head FROM %I', login);
    END IF;
END
$$;

-- name: try_lock
SELECT pg_try_advisory_lock(hashtext('tildel'), hashtext(current_schema()));

-- name: load_head
SELECT position, epoch, log_id, rehearsal, root, frontier FROM head;

-- name: create_head
INSERT INTO head (position, epoch, log_id, rehearsal, root, frontier) VALUES (0, 0, $1::uuid, $2::boolean, $3::bytea, ''::bytea)
    ON CONFLICT DO NOTHING;

-- name: raise_epoch
UPDATE head SET epoch = epoch + 1 RETURNING epoch;

-- name: read_epoch
SELECT epoch FROM head;

-- name: make_room
SELECT make_room($1::bigint);

-- The last place of each stream, and whether this very version stands already.
-- name: find_places
SELECT coalesce((SELECT p.version FROM place p WHERE p.stream = w.stream ORDER BY p.version DESC LIMIT 1), 0),
       coalesce(p.position, 0), p.leaf
  FROM unnest($1::text[], $2::bigint[]) WITH ORDINALITY AS w (stream, version, n)
  LEFT JOIN place p ON p.stream = w.stream AND p.version = w.version
 ORDER BY w.n;

-- One statement: the fence, the events, their places, the tree. No row where another writer has taken over.
-- name: append
WITH fenced AS (
    UPDATE head SET position = $1::bigint, root = $2::bytea, frontier = $3::bytea
     WHERE epoch = $4::bigint AND position = $5::bigint
    RETURNING epoch
), added AS (
    INSERT INTO log (position, stream, version, type, bytes, leaf, appended_at_us, epoch)
    SELECT $5::bigint + e.n, e.stream, e.version, e.type, e.bytes, e.leaf, $6::bigint, f.epoch
      FROM fenced f, unnest($7::text[], $8::bigint[], $9::text[], $10::bytea[], $11::bytea[])
           WITH ORDINALITY AS e (stream, version, type, bytes, leaf, n)
), placed AS (
    INSERT INTO place (stream, version, position, leaf)
    SELECT e.stream, e.version, $5::bigint + e.n, e.leaf
      FROM fenced f, unnest($7::text[], $8::bigint[], $11::bytea[]) WITH ORDINALITY AS e (stream, version, leaf, n)
)
INSERT INTO root (position, root, frontier) SELECT $1::bigint, $2::bytea, $3::bytea FROM fenced;

-- At most $2 entries and about $3 bytes, but always the first one.
-- name: read_page
SELECT position, bytes, appended_at_us, epoch
  FROM (SELECT l.*, sum(octet_length(bytes) + 64) OVER (ORDER BY position) AS so_far
          FROM (SELECT * FROM log WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint) l) page
 WHERE so_far <= $3::bigint OR position = $1::bigint + 1
 ORDER BY position;

-- The newest tree that stands at least this far back, to recompute the end of the log from.
-- name: root_before
SELECT position, frontier FROM root WHERE position <= $1::bigint ORDER BY position DESC LIMIT 1;

-- name: read_leaves
SELECT position, leaf, bytes, stream, version FROM log WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint;

-- name: read_roots
SELECT position, root FROM root WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint;
