-- What approval remembers, and all it says to its database. Tables that begin with heard_ are fed by others'
-- events, all other tables by approval's own.

-- schema: 1 signatories and sign-offs
CREATE TABLE signatory (
    id text PRIMARY KEY,
    organisation_number text NOT NULL,
    person text NOT NULL,
    capacity smallint NOT NULL CHECK (capacity BETWEEN 1 AND 5),  -- approval.v1.Capacity
    giver text NOT NULL,                     -- of a mandate
    call_id text NOT NULL,                   -- scope of a mandate; '': all calls
    most_ore bigint NOT NULL CHECK (most_ore >= 0),               -- scope of a mandate; 0: any amount
    from_at_us bigint NOT NULL,
    to_at_us bigint NOT NULL,                -- exclusive; 0: until revoked
    document_sha256 text NOT NULL,
    revoked_at_us bigint,
    CHECK (to_at_us = 0 OR to_at_us > from_at_us),
    -- nobody gives a mandate to himself
    CHECK (capacity <> 3 OR (giver <> '' AND giver <> person AND to_at_us > 0))
);
CREATE INDEX signatory_person ON signatory (person);
CREATE INDEX signatory_organisation ON signatory (organisation_number);
CREATE TABLE sign_off (
    id text PRIMARY KEY,
    application_id text NOT NULL,
    kind smallint NOT NULL CHECK (kind BETWEEN 1 AND 3),          -- types.v1.SignOffKind
    version bigint NOT NULL,                 -- of what is signed
    content_sha256 text NOT NULL,
    organisation_number text NOT NULL,       -- the lead
    call_id text NOT NULL,
    amount_ore bigint NOT NULL,
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 4),        -- open, signed, returned, voided
    signatures integer NOT NULL,
    CHECK (state <> 2 OR signatures = CASE kind WHEN 3 THEN 2 ELSE 1 END)
);
CREATE INDEX sign_off_open ON sign_off (organisation_number) WHERE state = 1;
CREATE TABLE signature (                     -- of versions that were not voided or returned
    sign_off_id text,
    version bigint,
    person text,
    capacity smallint NOT NULL,
    signatory_id text NOT NULL,
    signed_at_us bigint NOT NULL,
    PRIMARY KEY (sign_off_id, version, person),    -- four eyes: nobody signs the same version twice,
    UNIQUE (sign_off_id, version, capacity)        -- and the two sign in different capacities
);
CREATE TABLE heard_organisation (            -- intake's register
    number text PRIMARY KEY,
    name text NOT NULL,
    form text NOT NULL
);

-- Who may sign. A registration is held as it is while someone signs by it, so that revoking it is wholly
-- before or wholly after.

-- name: find_organisation
SELECT name, form FROM heard_organisation WHERE number = $1;

-- name: load_signatory
SELECT id, organisation_number, person, capacity, giver, call_id, most_ore, from_at_us, to_at_us,
       document_sha256, revoked_at_us
  FROM signatory
 WHERE id = $1
   FOR UPDATE;

-- name: load_own
SELECT id, organisation_number, person, capacity, giver, call_id, most_ore, from_at_us, to_at_us,
       document_sha256, revoked_at_us
  FROM signatory
 WHERE person = $1
 ORDER BY id
 LIMIT 200
   FOR SHARE;

-- name: list_signatories
SELECT id, organisation_number, person, capacity, giver, call_id, most_ore, from_at_us, to_at_us,
       document_sha256, revoked_at_us
  FROM signatory
 WHERE organisation_number = $1
   AND from_at_us <= $2
   AND (to_at_us = 0 OR to_at_us > $2)
   AND (revoked_at_us IS NULL OR revoked_at_us > $2)
 ORDER BY id
 LIMIT 500;

-- name: add_signatory
INSERT INTO signatory (id, organisation_number, person, capacity, giver, call_id, most_ore, from_at_us,
                       to_at_us, document_sha256)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10);

-- name: revoke_signatory
UPDATE signatory SET revoked_at_us = $2 WHERE id = $1;

-- Sign-offs.

-- name: load_sign_off (many)
SELECT id, application_id, kind, version, content_sha256, organisation_number, call_id, amount_ore, state
  FROM sign_off
 WHERE id = ANY ($1::text[])
 ORDER BY id
   FOR UPDATE;

-- name: list_signatures
SELECT person, capacity, signatory_id, signed_at_us
  FROM signature
 WHERE sign_off_id = $1 AND version = $2
 ORDER BY signed_at_us, person;

-- name: list_sign_offs
SELECT id, application_id, kind, version, content_sha256, organisation_number, call_id, amount_ore, state
  FROM sign_off
 WHERE organisation_number = $1 AND state = 1
 ORDER BY id
 LIMIT 500;

-- name: open_sign_off (many)
INSERT INTO sign_off (id, application_id, kind, version, content_sha256, organisation_number, call_id,
                      amount_ore, state, signatures)
SELECT given.*, 1, 0
  FROM unnest($1::text[], $2::text[], $3::smallint[], $4::bigint[], $5::text[], $6::text[], $7::text[], $8::bigint[])
    AS given (id, application_id, kind, version, content_sha256, organisation_number, call_id, amount_ore)
    ON CONFLICT (id) DO UPDATE
   SET version = excluded.version, content_sha256 = excluded.content_sha256,
       organisation_number = excluded.organisation_number, call_id = excluded.call_id,
       amount_ore = excluded.amount_ore, state = 1, signatures = 0;

-- name: drop_signatures (many)
DELETE FROM signature
 USING unnest($1::text[], $2::bigint[]) AS given (sign_off_id, version)
 WHERE signature.sign_off_id = given.sign_off_id AND signature.version = given.version;

-- name: add_signature
INSERT INTO signature (sign_off_id, version, person, capacity, signatory_id, signed_at_us)
VALUES ($1, $2, $3, $4, $5, $6);

-- name: count_signature
UPDATE sign_off SET signatures = signatures + 1 WHERE id = $1 AND version = $2;

-- name: complete_sign_off
UPDATE sign_off SET state = 2, signatures = signatures + 1 WHERE id = $1 AND version = $2;

-- name: end_sign_off
UPDATE sign_off SET state = $3, signatures = 0 WHERE id = $1 AND version = $2;

-- What intake has said.

-- name: put_organisation
INSERT INTO heard_organisation (number, name, form)
VALUES ($1, $2, $3)
    ON CONFLICT (number) DO UPDATE SET name = excluded.name, form = excluded.form;
