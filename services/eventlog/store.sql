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

-- schema: 2 tiles and checkpoints
CREATE TABLE tile (                   -- C2SP tlog-tiles: the root of every full tile of 256 hashes; the hashes themselves are
    level smallint NOT NULL CHECK (level BETWEEN 0 AND 7),  -- the log's leaves (level 0) or the roots one level below
    index bigint NOT NULL CHECK (index >= 0),
    root bytea NOT NULL CHECK (octet_length(root) = 32),
    PRIMARY KEY (level, index)
);
CREATE TABLE checkpoint (             -- every checkpoint that was signed, for ever
    size bigint PRIMARY KEY CHECK (size > 0),
    note text NOT NULL,
    made_at_us bigint NOT NULL
);
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON tile
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();
CREATE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON checkpoint
    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change();

-- The head moves forward, and what the log is called and was made as stays.
CREATE FUNCTION refuse_backwards() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the head of the log only moves forward';
END
$$;
CREATE TRIGGER only_forward BEFORE UPDATE ON head FOR EACH ROW
    WHEN (NEW.position < OLD.position OR NEW.epoch < OLD.epoch OR NEW.log_id <> OLD.log_id OR NEW.rehearsal <> OLD.rehearsal)
    EXECUTE FUNCTION refuse_backwards();

-- A partition is a table of its own: what holds for the log must hold for it too, when it is named directly.
CREATE FUNCTION seal(part text) RETURNS void LANGUAGE plpgsql SECURITY DEFINER SET search_path FROM CURRENT AS $$
DECLARE
    who name;
BEGIN
    FOR who IN SELECT DISTINCT r.rolname FROM pg_class c, aclexplode(c.relacl) a JOIN pg_roles r ON r.oid = a.grantee
                WHERE c.oid = part::regclass AND a.grantee <> c.relowner LOOP
        EXECUTE format('REVOKE ALL ON %I FROM %I', part, who);
    END LOOP;
    EXECUTE format('CREATE OR REPLACE TRIGGER only_added_to BEFORE UPDATE OR DELETE OR TRUNCATE ON %I
                    FOR EACH STATEMENT EXECUTE FUNCTION refuse_change()', part);
END
$$;
REVOKE ALL ON FUNCTION seal(text) FROM PUBLIC;
CREATE OR REPLACE FUNCTION make_room(up_to bigint) RETURNS bigint LANGUAGE plpgsql SECURITY DEFINER
    SET search_path FROM CURRENT AS $$
DECLARE
    size constant bigint := 10000000;
    first bigint := coalesce((SELECT max(substr(c.relname, 5)::bigint) + 1 FROM pg_inherits i
                              JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'log'::regclass), 0);
BEGIN
    FOR part IN first .. (up_to + size) / size LOOP
        EXECUTE format('CREATE TABLE %I PARTITION OF log FOR VALUES FROM (%s) TO (%s)',
                       'log_' || part, part * size, (part + 1) * size);
        PERFORM seal('log_' || part);
    END LOOP;
    RETURN (up_to + size) / size;
END
$$;
SELECT seal(c.relname) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid WHERE i.inhparent = 'log'::regclass;
DO $$
DECLARE
    login text := current_setting('tildel.login', true);
BEGIN
    IF login <> '' THEN
        EXECUTE format('REVOKE INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA %I FROM %I', current_schema(), login);
        EXECUTE format('GRANT INSERT ON log, place, root, head, tile, checkpoint TO %I', login);
        EXECUTE format('GRANT UPDATE ON head TO %I', login);
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

-- The same, with the tiles that the events complete and the checkpoint that is due: once in 256 events, or in seconds.
-- name: append_signed
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
), tiled AS (
    INSERT INTO tile (level, index, root)
    SELECT t.level, t.index, t.root
      FROM fenced f, unnest($12::bigint[], $13::bigint[], $14::bytea[]) AS t (level, index, root)
), signed AS (
    INSERT INTO checkpoint (size, note, made_at_us)
    SELECT $1::bigint, $15::text, $6::bigint FROM fenced WHERE $15::text IS NOT NULL
)
INSERT INTO root (position, root, frontier) SELECT $1::bigint, $2::bytea, $3::bytea FROM fenced;

-- name: read_page
SELECT position, bytes, appended_at_us, epoch FROM log WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint;

-- The newest tree that stands at least this far back, to recompute the end of the log from.
-- name: root_before
SELECT position, frontier FROM root WHERE position <= $1::bigint ORDER BY position DESC LIMIT 1;

-- name: read_leaves (copy)
SELECT position, leaf, bytes, stream, version FROM log WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint;

-- name: export_entries (copy)
SELECT position, bytes, appended_at_us, epoch FROM log WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint;

-- Verification: what is recorded of the tree after $1 up to $2: its roots, its checkpoints, and the tiles that it completed on
-- the way.
-- name: verify_roots
SELECT position, root FROM root WHERE position > $1::bigint AND position <= $2::bigint ORDER BY position;

-- name: verify_checkpoints
SELECT size, note FROM checkpoint WHERE size > $1::bigint AND size <= $2::bigint ORDER BY size;

-- name: verify_tiles
SELECT t.level, t.index, t.root
  FROM generate_series(0, 6) AS of (level)
 CROSS JOIN LATERAL (SELECT level, index, root FROM tile
                      WHERE tile.level = of.level AND index >= $1::bigint >> 8 * (of.level + 1)
                        AND index < $2::bigint >> 8 * (of.level + 1)) t
 ORDER BY (t.index + 1) << 8 * (t.level + 1), t.level;

-- name: verify_snapshot
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: verify_places (copy)
SELECT position, version, leaf, stream FROM place;

-- The first entry that has no place, or another one than its own.
-- name: misplaced
SELECT l.position FROM log l LEFT JOIN place p ON p.stream = l.stream AND p.version = l.version
 WHERE p.position IS DISTINCT FROM l.position OR p.leaf IS DISTINCT FROM l.leaf
 ORDER BY l.position LIMIT 1;

-- name: read_roots
SELECT position, root FROM root WHERE position > $1::bigint ORDER BY position LIMIT $2::bigint;

-- A checkpoint of the head, when nothing was appended meanwhile and nobody has taken over.
-- name: add_checkpoint
INSERT INTO checkpoint (size, note, made_at_us)
SELECT position, $2::text, $3::bigint FROM head WHERE position = $1::bigint AND epoch = $4::bigint
    ON CONFLICT DO NOTHING;

-- name: newest_checkpoint
SELECT size, note FROM checkpoint ORDER BY size DESC LIMIT 1;

-- The first that covers a position.
-- name: covering_checkpoint
SELECT size, note FROM checkpoint WHERE size >= $1::bigint ORDER BY size LIMIT 1;

-- name: checkpoints
SELECT size, note FROM checkpoint WHERE size > $1::bigint ORDER BY size LIMIT $2::bigint;

-- The hashes of a tile, in order, as far as there are any: of level 0 the leaves of positions $1 + 1 to $2 ...
-- name: tile_leaves
SELECT coalesce(string_agg(leaf, ''::bytea ORDER BY position), ''::bytea) FROM log
 WHERE position > $1::bigint AND position <= $2::bigint;

-- ... and above it the roots of the tiles $2 to $3 - 1 of the level below, which is $1.
-- name: tile_roots
SELECT coalesce(string_agg(root, ''::bytea ORDER BY index), ''::bytea) FROM tile
 WHERE level = $1::bigint AND index >= $2::bigint AND index < $3::bigint;

-- name: tile_next
SELECT coalesce(max(index) + 1, 0) FROM tile WHERE level = $1::bigint;

-- name: add_tiles
INSERT INTO tile (level, index, root)
SELECT $1::bigint, t.index, t.root FROM unnest($2::bigint[], $3::bytea[]) AS t (index, root)
    ON CONFLICT DO NOTHING;

-- How large the bundle of the entries after $1 up to $2 is, and its largest entry.
-- name: bundle_size
SELECT count(*), coalesce(sum(octet_length(bytes) + 2), 0), coalesce(max(octet_length(bytes)), 0) FROM log
 WHERE position > $1::bigint AND position <= $2::bigint;

-- name: bundle
SELECT bytes FROM log WHERE position > $1::bigint AND position <= $2::bigint ORDER BY position;

-- name: read_stream
SELECT l.position, l.bytes, l.appended_at_us, l.epoch
  FROM (SELECT position FROM place WHERE stream = $1::text AND version > $2::bigint
         ORDER BY version LIMIT $3::bigint) p
  JOIN log l ON l.position = p.position
 ORDER BY l.position;

-- Put back what was lost, byte for byte: as append, but with each entry's own time and epoch. What stands already is left:
-- the whole is verified afterwards.
-- name: put_back
WITH fenced AS (
    UPDATE head SET position = $1::bigint, root = $2::bytea, frontier = $3::bytea
     WHERE epoch = $4::bigint AND position = $5::bigint
    RETURNING epoch
), added AS (
    INSERT INTO log (position, stream, version, type, bytes, leaf, appended_at_us, epoch)
    SELECT $5::bigint + e.n, e.stream, e.version, e.type, e.bytes, e.leaf, e.appended_at_us, e.epoch
      FROM fenced f, unnest($6::text[], $7::bigint[], $8::text[], $9::bytea[], $10::bytea[], $11::bigint[], $12::bigint[])
           WITH ORDINALITY AS e (stream, version, type, bytes, leaf, appended_at_us, epoch, n)
        ON CONFLICT DO NOTHING
), placed AS (
    INSERT INTO place (stream, version, position, leaf)
    SELECT e.stream, e.version, $5::bigint + e.n, e.leaf
      FROM fenced f, unnest($6::text[], $7::bigint[], $10::bytea[]) WITH ORDINALITY AS e (stream, version, leaf, n)
        ON CONFLICT DO NOTHING
), rooted AS (
    INSERT INTO root (position, root, frontier) SELECT $1::bigint, $2::bytea, $3::bytea FROM fenced
        ON CONFLICT DO NOTHING
)
SELECT epoch FROM fenced;

-- The epoch is never below that of an entry: a log that was put back goes on above it.
-- name: raise_epoch_above
UPDATE head SET epoch = greatest(epoch, $1::bigint) + 1 RETURNING epoch;

-- name: put_back_checkpoint
INSERT INTO checkpoint (size, note, made_at_us) VALUES ($1::bigint, $2::text, $3::bigint) ON CONFLICT DO NOTHING;
