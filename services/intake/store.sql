-- What intake remembers, and all it says to its database. Tables that begin with heard_ are fed by others'
-- events, all other tables by intake's own. No table refers to another stream's: the log keeps order only
-- within a stream.

-- schema: 1 organisations, calls, applications
CREATE TABLE organisation (
    number text PRIMARY KEY CHECK (number ~ '^[0-9]{9}$'),
    name text NOT NULL,
    form text NOT NULL,
    municipality_number text NOT NULL,
    language text NOT NULL CHECK (language IN ('nb', 'nn', 'neutral')),
    CHECK (form <> 'KOMM' OR municipality_number ~ '^[0-9]{4}$')
);
CREATE TABLE call (
    id text PRIMARY KEY,
    definition bytea NOT NULL,               -- types.v1.CallDefinition as it was published
    deadline_at_us bigint NOT NULL,          -- in force, exclusive
    draft_expires_hours integer NOT NULL CHECK (draft_expires_hours > 0),
    late_filing boolean NOT NULL,
    closed boolean NOT NULL
);
CREATE INDEX call_open ON call (deadline_at_us) WHERE NOT closed;
CREATE TABLE application (
    id text PRIMARY KEY,
    call_id text NOT NULL,
    organisation_number text NOT NULL,       -- the lead
    municipality_number text NOT NULL,
    name text NOT NULL,                      -- the lead's
    state smallint NOT NULL CHECK (state BETWEEN 1 AND 6),  -- intake.v1.Application.State
    content_version bigint NOT NULL,         -- 0: nothing saved yet
    content bytea,                           -- intake.v1.Content, canonical
    content_sha256 text NOT NULL,
    requested_version bigint NOT NULL,       -- frozen for approval; 0: none
    signed_at_us bigint,                     -- of the delivery
    disregarded text NOT NULL,               -- why the last signature did not count
    CHECK ((content IS NULL) = (content_version = 0)),
    CHECK (state <> 2 OR requested_version = content_version),
    CHECK ((state IN (3, 4)) <= (signed_at_us IS NOT NULL))
);
CREATE INDEX application_undelivered ON application (call_id) WHERE state IN (1, 2);
CREATE INDEX application_late ON application (call_id, signed_at_us) WHERE state = 4;
CREATE TABLE confirmation (                  -- a partner's word, for the share it had then
    application_id text,
    organisation_number text,
    own_ore bigint NOT NULL CHECK (own_ore >= 0),
    PRIMARY KEY (application_id, organisation_number)
);
CREATE TABLE heard_reservation (             -- of a parent's frame, by allocation
    extra_call_id text,
    parent_call_id text,
    amount_ore bigint NOT NULL CHECK (amount_ore > 0),
    PRIMARY KEY (extra_call_id, parent_call_id)
);
-- By evaluation or allocation: the first one ends the right to withdraw.
CREATE TABLE heard_decision (
    application_id text PRIMARY KEY,
    decision text NOT NULL CHECK (decision IN ('rejected', 'awarded', 'refused'))
);

-- schema: 2 room for the next version of an application
-- A draft is saved again and again. With room on its page the new version needs no new entries in the indexes.
ALTER TABLE application SET (fillfactor = 50);

-- Organisations.

-- name: find_organisation (many)
SELECT number, name, form, municipality_number, language
  FROM organisation
 WHERE number = ANY ($1::text[])
 ORDER BY number;

-- name: load_organisations
SELECT number, name, form, municipality_number, language
  FROM organisation
 WHERE number = ANY ($1::text[])
 ORDER BY number
   FOR UPDATE;

-- name: put_organisation
INSERT INTO organisation (number, name, form, municipality_number, language)
VALUES ($1, $2, $3, $4, $5)
    ON CONFLICT (number) DO UPDATE
   SET name = excluded.name, form = excluded.form, municipality_number = excluded.municipality_number,
       language = excluded.language;

-- Calls.

-- name: find_definition (steady)
SELECT definition FROM call WHERE id = $1;

-- name: find_call (many)
SELECT id, deadline_at_us, draft_expires_hours, late_filing, closed
  FROM call
 WHERE id = ANY ($1::text[])
 ORDER BY id;

-- name: load_call
SELECT id, deadline_at_us, draft_expires_hours, late_filing, closed
  FROM call
 WHERE id = $1
   FOR UPDATE;

-- name: find_reservation
SELECT amount_ore FROM heard_reservation WHERE extra_call_id = $1 AND parent_call_id = $2;

-- name: list_calls
SELECT id FROM call ORDER BY id LIMIT 1000;

-- name: add_call
INSERT INTO call (id, definition, deadline_at_us, draft_expires_hours, late_filing, closed)
VALUES ($1, $2, $3, $4, $5, false);

-- name: move_deadline
UPDATE call SET deadline_at_us = $2, closed = false WHERE id = $1;

-- name: close_call
UPDATE call SET closed = true WHERE id = $1;

-- Applications. An application is always loaded with what its call says now.

-- name: find_application
SELECT application.id, call_id, organisation_number, municipality_number, name, state, content_version,
       content, content_sha256, requested_version, disregarded, deadline_at_us, draft_expires_hours, late_filing
  FROM application JOIN call ON call.id = application.call_id
 WHERE application.id = $1;

-- name: load_application (many)
SELECT application.id, call_id, organisation_number, municipality_number, name, state, content_version,
       content, content_sha256, requested_version, disregarded, deadline_at_us, draft_expires_hours, late_filing
  FROM application JOIN call ON call.id = application.call_id
 WHERE application.id = ANY ($1::text[])
 ORDER BY application.id
   FOR UPDATE OF application;

-- name: hold_call_of (many)
SELECT application.id
  FROM application JOIN call ON call.id = application.call_id
 WHERE application.id = ANY ($1::text[])
 ORDER BY call.id
   FOR SHARE OF call;

-- name: load_late
SELECT id FROM application WHERE call_id = $1 AND state = 4 AND signed_at_us < $2 ORDER BY id FOR UPDATE;

-- name: list_confirmations (many)
SELECT application_id, organisation_number, own_ore
  FROM confirmation
 WHERE application_id = ANY ($1::text[])
 ORDER BY application_id, organisation_number;

-- name: find_decision
SELECT decision FROM heard_decision WHERE application_id = $1;

-- name: add_application (many)
INSERT INTO application (id, call_id, organisation_number, municipality_number, name, state, content_version,
                         content_sha256, requested_version, disregarded)
SELECT id, call_id, organisation_number, municipality_number, name, 1, 0, '', 0, ''
  FROM unnest($1::text[], $2::text[], $3::text[], $4::text[], $5::text[])
    AS given (id, call_id, organisation_number, municipality_number, name);

-- name: save_content (many)
UPDATE application
   SET state = 1, content_version = given.version, content = given.content, content_sha256 = given.sha256,
       requested_version = 0
  FROM unnest($1::text[], $2::bigint[], $3::bytea[], $4::text[]) AS given (id, version, content, sha256)
 WHERE application.id = given.id;

-- name: put_confirmation (many)
INSERT INTO confirmation (application_id, organisation_number, own_ore)
SELECT * FROM unnest($1::text[], $2::text[], $3::bigint[])
    ON CONFLICT (application_id, organisation_number) DO UPDATE SET own_ore = excluded.own_ore;

-- name: freeze_content (many)
UPDATE application SET state = 2, requested_version = given.version, disregarded = ''
  FROM unnest($1::text[], $2::bigint[]) AS given (id, version)
 WHERE application.id = given.id;

-- name: thaw_content (many)
UPDATE application SET state = 1, requested_version = 0 WHERE id = ANY ($1::text[]);

-- name: deliver_application (many)
UPDATE application SET state = given.state, signed_at_us = given.signed_at_us
  FROM unnest($1::text[], $2::smallint[], $3::bigint[]) AS given (id, state, signed_at_us)
 WHERE application.id = given.id;

-- name: disregard_signature
UPDATE application SET disregarded = $2 WHERE id = $1;

-- name: end_application
UPDATE application SET state = $2 WHERE id = $1;

-- What others have said.

-- name: put_reservation
INSERT INTO heard_reservation (extra_call_id, parent_call_id, amount_ore)
VALUES ($1, $2, $3)
    ON CONFLICT (extra_call_id, parent_call_id) DO UPDATE
   SET amount_ore = heard_reservation.amount_ore + excluded.amount_ore;

-- name: put_decision
INSERT INTO heard_decision (application_id, decision) VALUES ($1, $2) ON CONFLICT (application_id) DO NOTHING;

-- What the calendar has made due; $1 is the instant.

-- name: due_calls
SELECT id FROM call WHERE NOT closed AND deadline_at_us <= $1 ORDER BY deadline_at_us, id LIMIT 100;

-- name: due_drafts
SELECT draft.id
  FROM call CROSS JOIN LATERAL (SELECT id FROM application
                                 WHERE call_id = call.id AND state IN (1, 2)
                                 ORDER BY id LIMIT 100) AS draft
 WHERE deadline_at_us + draft_expires_hours * 3600000000 <= $1
 ORDER BY draft.id
 LIMIT 100;
