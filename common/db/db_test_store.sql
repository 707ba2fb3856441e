-- What db_test.c says to a database: each kind of value there and back, and each kind of failure.

-- schema: 1 tables for tests
CREATE TABLE thing (
    id text PRIMARY KEY,
    number bigint CHECK (number <> 13),
    parent text REFERENCES thing DEFERRABLE INITIALLY DEFERRED
);
CREATE FUNCTION complain(code text) RETURNS void LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'complained "as asked"' USING ERRCODE = code, DETAIL = 'secret detail $1';
END $$;

-- schema: 2 what happens while a transaction commits
CREATE TABLE last_moment (what text);
CREATE FUNCTION at_commit() RETURNS trigger LANGUAGE plpgsql AS $body$
BEGIN
    IF new.what = 'warn' THEN
        RAISE WARNING 'canceling wait for synchronous replication';
    ELSIF new.what = 'die' THEN
        PERFORM pg_terminate_backend(pg_backend_pid());
        PERFORM pg_sleep(10);
    END IF;
    RETURN NULL;
END $body$;
CREATE CONSTRAINT TRIGGER at_commit AFTER INSERT ON last_moment
    DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION at_commit();

-- name: echo
SELECT $1::text, $2::bigint, $3::boolean, $4::bytea, length($1::text), '$9' /* no $8 */ -- nor $7
-- name: echo_arrays
SELECT text, number, bytes
  FROM unnest($1::text[], $2::bigint[], $3::bytea[]) WITH ORDINALITY AS row (text, number, bytes, place)
 ORDER BY place;

-- Comments above a name belong to what follows.
-- name: add_thing
INSERT INTO thing (id, number) VALUES ($1, $2::bigint)
-- name: add_orphan
INSERT INTO thing (id, parent) VALUES ($1, 'nobody')
-- name: count_things
SELECT count(*) FROM thing
-- name: drop_things
DELETE FROM thing
-- name: renumber_things
UPDATE thing SET number = $1::bigint
-- The numbers 1 to $1 in each kind that can be read as it comes; division by zero in row $2.
-- name: count_up
SELECT n, n::int, (-n)::smallint, n % 2 = 1, 'nr. ' || n, decode(lpad(to_hex(n), 16, '0'), 'hex'), 1 / ($2::bigint - n)
  FROM generate_series(1::bigint, $1::bigint) AS n
-- name: copy_up (copy)
SELECT n, n::int, (-n)::smallint, n % 2 = 1, 'nr. ' || n, decode(lpad(to_hex(n), 16, '0'), 'hex'), 1 / ($2::bigint - n)
  FROM generate_series(1::bigint, $1::bigint) AS n;
-- name: copy_nothing_known (copy)
SELECT NULL::bigint, NULL::text, NULL::bytea, '', ''::bytea, 'at the end'
-- name: copy_things (copy)
SELECT count(*) FROM thing
-- name: copy_long (copy)
SELECT $1::bigint, repeat('x', $1::int), NULL::text, 'behind' FROM generate_series(1, 3)
-- name: copy_die_at (copy)
SELECT n, CASE WHEN n = $1::bigint THEN pg_terminate_backend(pg_backend_pid()) END, repeat('x', 1000)
  FROM generate_series(1::bigint, 2 * $1::bigint) AS n
-- name: nothing_known
SELECT NULL::bigint, NULL::text, NULL::bytea
-- name: die_at
SELECT n, CASE WHEN n = $1::bigint THEN pg_terminate_backend(pg_backend_pid()) END, repeat('x', 1000)
  FROM generate_series(1::bigint, 2 * $1::bigint) AS n
-- name: find_thing
SELECT number FROM thing WHERE id = $1
-- name: renumber_thing
UPDATE thing SET number = $2::bigint WHERE id = $1
-- name: add_many (many)
INSERT INTO thing (id, number) SELECT * FROM unnest($1::text[], $2::bigint[])
-- name: renumber_many (many)
UPDATE thing SET number = given.number FROM unnest($1::text[], $2::bigint[]) AS given (id, number) WHERE thing.id = given.id
-- name: find_many (many)
SELECT id, number FROM thing WHERE id = ANY ($1::text[]) ORDER BY id
-- name: echo_many (many)
SELECT key, bytes FROM unnest($1::text[], $2::bytea[]) AS row (key, bytes) ORDER BY key
-- name: add_ten_thousand
INSERT INTO thing (id, number) SELECT n::text, n FROM generate_series(20, 10019) AS n
-- name: find_steady (steady)
SELECT number FROM thing WHERE id = $1
-- name: fail_with
SELECT complain($1)
-- name: at_the_last_moment
INSERT INTO last_moment (what) VALUES ($1)
-- name: die_now
SELECT pg_terminate_backend(pg_backend_pid()), pg_sleep(10)
-- name: kill_other
SELECT pg_terminate_backend($1::int)
-- name: whoami
SELECT pg_backend_pid(), current_schema(), current_setting('synchronous_commit'), current_setting('application_name'),
       current_setting('enable_seqscan') || ' ' || current_setting('enable_hashjoin') || ' ' || current_setting('enable_mergejoin')
       || ' ' || current_setting('jit') || ' ' || current_setting('plan_cache_mode')
-- name: drop_schema
DO $$ BEGIN EXECUTE format('DROP SCHEMA %I CASCADE', current_schema()); END $$
