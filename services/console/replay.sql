-- What `tildel replay` keeps beside the schemas it rebuilds, in a schema of its own, PREFIX_tools; and how
-- `tildel compare` lays two schemas beside each other. Names of schemas and tables are values here: they
-- become SQL in the functions below, always through format('%I'), and nowhere else.

-- schema: 1 what was rebuilt, and functions that compare
CREATE TABLE rebuilt (
    service text PRIMARY KEY,
    position bigint NOT NULL            -- up to and including this event of the log
);

-- Forget what an earlier replay made.
CREATE FUNCTION drop_rebuilt(prefix text, service text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('DROP SCHEMA IF EXISTS %I CASCADE', prefix || '_' || service);
END
$$;

-- How far a live service is. An event that is not in the log yet, or not heard yet, is no difference but a
-- lag.
CREATE FUNCTION live_state(service text, OUT heard bigint, OUT unsent bigint, OUT parked bigint)
LANGUAGE plpgsql AS $$
BEGIN
    EXECUTE format('SELECT (SELECT position FROM %1$I.loop_cursor), (SELECT count(*) FROM %1$I.loop_outbox),'
                   '       (SELECT count(*) FROM %1$I.loop_parked)', service)
       INTO heard, unsent, parked;
END
$$;

CREATE FUNCTION count_rows(schema_name text, table_name text) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    rows bigint;
BEGIN
    EXECUTE format('SELECT count(*) FROM %I.%I', schema_name, table_name) INTO rows;
    RETURN rows;
END
$$;

-- A value as it is told: a long one by its beginning and its digest.
CREATE FUNCTION shown(value text) RETURNS text LANGUAGE sql IMMUTABLE AS $$
SELECT CASE WHEN value IS NULL THEN 'NULL'
            WHEN length(value) > 100
            THEN left(value, 60) || ' ... ' || length(value) || ' characters, MD5 ' || md5(value)
            ELSE value END
$$;

-- The first `most` values that differ, in order of the primary key: key, column, live and rebuilt value. A
-- row that one side lacks is one line, with the column "(row)". No line: the tables are equal, byte for byte
-- as text.
CREATE FUNCTION compare_tables(live text, rebuilt text, table_name text, most integer)
RETURNS TABLE (key text, column_name text, live_value text, rebuilt_value text) LANGUAGE plpgsql AS $$
DECLARE
    keys text;
    key_text text;
BEGIN
    SELECT string_agg(quote_ident(attribute.attname), ', ' ORDER BY place.n),
           string_agg(format('%I::text', attribute.attname), ', ' ORDER BY place.n)
      INTO keys, key_text
      FROM pg_index AS entry
     CROSS JOIN LATERAL unnest(entry.indkey) WITH ORDINALITY AS place (attribute, n)
      JOIN pg_attribute AS attribute
        ON attribute.attrelid = entry.indrelid AND attribute.attnum = place.attribute
     WHERE entry.indisprimary AND entry.indrelid = format('%I.%I', live, table_name)::regclass;
    IF keys IS NULL THEN
        RETURN QUERY SELECT '', '(primary key)', 'none: rows cannot be told apart', '';
        RETURN;
    END IF;
    -- Names that no table of ours has keep what is joined here apart from the tables' own columns.
    RETURN QUERY EXECUTE format($f$
        SELECT pair.tildel_key, difference.name, difference.live, difference.rebuilt
          FROM (SELECT concat_ws('/', %2$s) AS tildel_key, row_number() OVER (ORDER BY %1$s) AS tildel_place,
                       tildel_live, tildel_rebuilt
                  FROM (SELECT %1$s, tildel_row AS tildel_live FROM %3$I.%5$I AS tildel_row) AS l
                  FULL JOIN (SELECT %1$s, tildel_row AS tildel_rebuilt FROM %4$I.%5$I AS tildel_row) AS r
                 USING (%1$s)
                 WHERE tildel_live::text IS DISTINCT FROM tildel_rebuilt::text) AS pair
         CROSS JOIN LATERAL (
            SELECT '(row)' AS name, CASE WHEN tildel_live IS NULL THEN 'absent' ELSE 'there' END AS live,
                   CASE WHEN tildel_rebuilt IS NULL THEN 'absent' ELSE 'there' END AS rebuilt
             WHERE tildel_live IS NULL OR tildel_rebuilt IS NULL
             UNION ALL
            SELECT coalesce(a.key, b.key), shown(a.value), shown(b.value)
              FROM jsonb_each_text(to_jsonb(tildel_live)) AS a
              FULL JOIN jsonb_each_text(to_jsonb(tildel_rebuilt)) AS b USING (key)
             WHERE NOT (tildel_live IS NULL OR tildel_rebuilt IS NULL)
               AND a.value IS DISTINCT FROM b.value) AS difference
         ORDER BY pair.tildel_place, difference.name
         LIMIT $1 $f$, keys, key_text, live, rebuilt, table_name)
      USING most;
END
$$;

-- schema: 2 the events behind a row
-- The last `most` events of these types (NULL: of any) about a row with this key, newest last: those of streams
-- whose id is a part of the key, or begins with one ("<application id>#2024#1", "<application id>:report"); or
-- the event that the key is the position of. Nothing where there is no event log beside the services.
CREATE FUNCTION events_about(key text, types text[], most integer)
RETURNS TABLE (place bigint, event_type text, event_bytes bytea) LANGUAGE plpgsql AS $$
BEGIN
    IF to_regclass('eventlog.log') IS NULL THEN
        RETURN;
    END IF;
    RETURN QUERY EXECUTE $f$
        SELECT * FROM (
            SELECT l.position, l.type, l.bytes
              FROM eventlog.log AS l
             CROSS JOIN LATERAL regexp_replace(l.stream, '^[^/]*/[^/]*/', '') AS id
             WHERE (id = ANY ($1) OR regexp_replace(id, '[#:].*$', '') = ANY ($1) OR l.position::text = $2)
               AND ($3 IS NULL OR l.type = ANY ($3))
             ORDER BY l.position DESC
             LIMIT $4) AS last
         ORDER BY 1 $f$
      USING string_to_array(key, '/'), key, types, most;
END
$$;

-- name: find_schema
SELECT 1 FROM pg_namespace WHERE nspname = $1;

-- name: drop_rebuilt
SELECT drop_rebuilt($1, $2);

-- name: forget_rebuilt
DELETE FROM rebuilt WHERE service = $1;

-- name: keep_rebuilt
INSERT INTO rebuilt (service, position) VALUES ($1, $2::bigint)
    ON CONFLICT (service) DO UPDATE SET position = excluded.position;

-- name: load_rebuilt
SELECT service, position FROM rebuilt ORDER BY service;

-- One moment for the whole comparison, however long it takes.
-- name: compare_at_one_moment
SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY;

-- name: load_live_state
SELECT heard, unsent, parked FROM live_state($1);

-- The tables of two schemas, and in which of them each is. What the loop itself remembers is not rebuilt.
-- name: load_tables
SELECT c.relname, bool_or(n.nspname = $1), bool_or(n.nspname = $2)
  FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
 WHERE n.nspname IN ($1, $2) AND c.relkind IN ('r', 'p') AND NOT c.relispartition
   AND NOT starts_with(c.relname, 'loop_') AND c.relname <> 'schema_step'
 GROUP BY c.relname
 ORDER BY c.relname;

-- Columns that only one side has, or that differ in type.
-- name: compare_columns
SELECT coalesce(l.column_name, r.column_name), coalesce(l.data_type, 'absent'),
       coalesce(r.data_type, 'absent')
  FROM (SELECT column_name::text, data_type::text FROM information_schema.columns
         WHERE table_schema = $1 AND table_name = $3) AS l
  FULL JOIN (SELECT column_name::text, data_type::text FROM information_schema.columns
              WHERE table_schema = $2 AND table_name = $3) AS r USING (column_name)
 WHERE l.data_type IS DISTINCT FROM r.data_type
 ORDER BY 1;

-- name: count_rows
SELECT count_rows($1, $2);

-- name: compare_tables
SELECT key, column_name, live_value, rebuilt_value FROM compare_tables($1, $2, $3, $4::integer);

-- name: events_about
SELECT place, event_type, event_bytes FROM events_about($1, $2::text[], $3::integer);

-- Schemas of runs that live only as long as they do: each is claimed by a lock of its run's connection. Those
-- whose run is gone; and the claim.
-- name: scratch_left
SELECT nspname FROM pg_namespace
 WHERE nspname ~ '^asof_[0-9a-f]{16}$'
   AND pg_try_advisory_lock(hashtextextended('tildel scratch ' || nspname, 0));

-- name: scratch_claim
SELECT pg_advisory_lock(hashtextextended('tildel scratch ' || $1, 0));
