-- What allocation remembers, and all it says to the database.

-- schema: 1 the ledger, reservations, proposals, grants; heard calls, applications, evaluations and payments

-- Own tables: written only by the apply of own events.
--
-- The ledger. Events of different cases may stand in the log the other way round than they were decided, so an account's balance may
-- pass below zero while the log is replayed. What can never be stored is a movement of a frame that leaves less than
-- nothing, or two movements with the same number: two decisions that each saw the same residual are impossible.
CREATE TABLE account (
    call_id text NOT NULL,
    name text NOT NULL,
    balance_ore bigint NOT NULL,
    PRIMARY KEY (call_id, name),
    CHECK (balance_ore >= 0 OR name LIKE 'APPROPRIATION%' OR name LIKE 'FRAME%')
);
CREATE TABLE posting (
    stream text NOT NULL,
    version bigint NOT NULL,
    line integer NOT NULL,
    call_id text NOT NULL,
    from_account text NOT NULL,
    to_account text NOT NULL,
    amount_ore bigint NOT NULL CHECK (amount_ore > 0),
    frame text,                              -- the side that is a frame; NULL: neither is
    frame_number bigint,
    residual_ore bigint CHECK (residual_ore >= 0),
    at_us bigint NOT NULL,
    PRIMARY KEY (stream, version, line),
    UNIQUE (call_id, frame, frame_number),
    CHECK (from_account <> to_account),
    CHECK ((frame IS NULL) = (frame_number IS NULL) AND (frame IS NULL) = (residual_ore IS NULL))
);
CREATE TABLE reservation (
    extra_call_id text PRIMARY KEY,
    call_id text NOT NULL,
    amount_ore bigint NOT NULL CHECK (amount_ore > 0)
);
CREATE TABLE appropriation (
    call_id text NOT NULL,
    year integer NOT NULL,
    chapter_post text NOT NULL,
    amount_ore bigint NOT NULL CHECK (amount_ore > 0),
    letter_reference text NOT NULL,
    PRIMARY KEY (call_id, year)
);
CREATE TABLE proposal (
    round_id text PRIMARY KEY,
    call_id text NOT NULL,
    proposed bytea NOT NULL                  -- allocation.v1.AllocationProposed
);
CREATE TABLE case_grant (                    -- one row for each application about which something was decided
    application_id text PRIMARY KEY,
    call_id text NOT NULL,
    state smallint NOT NULL,                 -- enum grant_state of allocation.h
    reserve_rank bigint CHECK (reserve_rank > 0),
    decided_by text NOT NULL DEFAULT '',
    prepared_by text[] NOT NULL DEFAULT '{}',
    amount_ore bigint NOT NULL DEFAULT 0 CHECK (amount_ore >= 0),
    award bytea,                             -- allocation.v1.AwardDecided
    letter_version bigint NOT NULL DEFAULT 0,
    letter bytea,                            -- allocation.v1.GrantLetter, the current one
    letter_sha256 text NOT NULL DEFAULT '',
    accept_by_at_us bigint NOT NULL DEFAULT 0,
    acceptance bytea,                        -- allocation.v1.AcceptancePrepared, the latest
    UNIQUE (call_id, reserve_rank),          -- a rank is given once
    CHECK (decided_by <> ALL (prepared_by))  -- four eyes
);
CREATE INDEX case_grant_offered ON case_grant (accept_by_at_us) WHERE state = 4;

-- Heard tables: written only as others' events are heard.
CREATE TABLE heard_organisation (
    organisation_number text PRIMARY KEY,
    language text NOT NULL
);
CREATE TABLE heard_call (
    call_id text PRIMARY KEY,
    definition bytea NOT NULL
);
CREATE TABLE heard_application (
    application_id text PRIMARY KEY,
    call_id text NOT NULL,
    organisation_number text NOT NULL,
    name text NOT NULL,
    language text NOT NULL,                  -- that the applicant chose; '' none
    content bytea NOT NULL,
    applied_ore bigint NOT NULL,
    withdrawn boolean NOT NULL DEFAULT false,
    rejected boolean NOT NULL DEFAULT false
);
CREATE INDEX heard_application_call ON heard_application (call_id, application_id);
CREATE TABLE heard_evaluation (              -- the latest
    application_id text PRIMARY KEY,
    version bigint NOT NULL,
    total bigint NOT NULL,
    tie_scores text NOT NULL                 -- hundredths in the criteria's tie order, with spaces between
);
CREATE TABLE heard_recommendation (          -- the latest
    application_id text PRIMARY KEY,
    version bigint NOT NULL,
    evaluation_version bigint NOT NULL,
    award boolean NOT NULL,
    amount_ore bigint NOT NULL,
    cuts text NOT NULL,
    returned boolean NOT NULL DEFAULT false
);
CREATE TABLE heard_reader (
    application_id text NOT NULL,
    place integer NOT NULL,
    person text NOT NULL,
    PRIMARY KEY (application_id, place)
);
CREATE TABLE heard_hand (                    -- everyone who read or recommended any version
    application_id text NOT NULL,
    person text NOT NULL,
    PRIMARY KEY (application_id, person)
);
CREATE TABLE heard_conflict (
    application_id text NOT NULL,
    person text NOT NULL,
    PRIMARY KEY (application_id, person)
);
CREATE TABLE heard_payment (
    payment_key text PRIMARY KEY,
    application_id text NOT NULL,
    under_way boolean NOT NULL               -- authorised, and not yet failed, confirmed or returned
);
CREATE INDEX heard_payment_application ON heard_payment (application_id);

-- The frame. One decision at a time is made about a call: who comes second waits here, and then sees what the first left.

-- name: lock_frames
SELECT name FROM account WHERE call_id = $1 AND name LIKE 'FRAME%' ORDER BY name FOR UPDATE;

-- name: load_call
SELECT definition FROM heard_call WHERE call_id = $1;

-- name: load_frames
SELECT name, balance_ore,
       (SELECT coalesce(max(frame_number), 0)
          FROM posting
         WHERE posting.call_id = account.call_id AND posting.frame = account.name)
  FROM account
 WHERE call_id = $1
   AND name LIKE 'FRAME%'
 ORDER BY name;

-- name: load_balances
SELECT name, balance_ore FROM account WHERE call_id = $1 ORDER BY name COLLATE "C";

-- name: load_reservation
SELECT EXISTS (SELECT FROM reservation WHERE extra_call_id = $1)
    OR EXISTS (SELECT FROM heard_call WHERE call_id = $1);

-- An application with what was said and decided about it. $2 is who asks.

-- name: find_call
SELECT call_id FROM heard_application WHERE application_id = $1;

-- name: lock_grant
SELECT application_id FROM case_grant WHERE application_id = $1 FOR UPDATE;

-- name: load_application
SELECT heard_application.organisation_number, heard_application.name, heard_application.content,
       heard_application.applied_ore, heard_application.withdrawn, heard_application.rejected,
       CASE WHEN heard_application.language <> '' THEN heard_application.language
            ELSE heard_organisation.language END = 'nn',
       heard_evaluation.version, heard_reader.person,
       EXISTS (SELECT FROM heard_conflict
                WHERE heard_conflict.application_id = heard_application.application_id
                  AND heard_conflict.person = $2),
       EXISTS (SELECT FROM heard_payment
                WHERE heard_payment.application_id = heard_application.application_id AND heard_payment.under_way)
  FROM heard_application
  LEFT JOIN heard_organisation ON heard_organisation.organisation_number = heard_application.organisation_number
  LEFT JOIN heard_evaluation ON heard_evaluation.application_id = heard_application.application_id
  LEFT JOIN heard_reader ON heard_reader.application_id = heard_application.application_id AND heard_reader.place = 1
 WHERE heard_application.application_id = $1;

-- name: load_recommendation
SELECT version, evaluation_version, amount_ore, cuts
  FROM heard_recommendation
 WHERE application_id = $1
   AND NOT returned;

-- name: load_hands
SELECT person FROM heard_hand WHERE application_id = $1 ORDER BY person COLLATE "C";

-- name: load_grant
SELECT state, coalesce(reserve_rank, 0), award, letter_version, letter, letter_sha256, accept_by_at_us, acceptance
  FROM case_grant
 WHERE application_id = $1;

-- name: load_accounts
SELECT (SELECT balance_ore FROM account WHERE call_id = $1 AND name = 'COMMITTED:' || $2),
       (SELECT balance_ore FROM account WHERE call_id = $1 AND name = 'PAID:' || $2),
       (SELECT balance_ore FROM account WHERE call_id = $1 AND name = 'CLAIMED:' || $2);

-- name: load_rank
SELECT application_id FROM case_grant WHERE call_id = $1 AND reserve_rank = $2::bigint;

-- Proposals. 1 is GRANT_ON_RESERVE.

-- name: load_candidates
SELECT heard_application.application_id, least(heard_recommendation.amount_ore, heard_application.applied_ore),
       heard_evaluation.total, heard_evaluation.tie_scores
  FROM heard_application
  JOIN heard_recommendation ON heard_recommendation.application_id = heard_application.application_id
  JOIN heard_evaluation ON heard_evaluation.application_id = heard_application.application_id
  LEFT JOIN case_grant ON case_grant.application_id = heard_application.application_id
 WHERE heard_application.call_id = $1
   AND NOT heard_application.withdrawn
   AND NOT heard_application.rejected
   AND heard_recommendation.award
   AND NOT heard_recommendation.returned
   AND coalesce(case_grant.state, 1) = 1
 ORDER BY heard_application.application_id COLLATE "C";

-- name: load_proposal
SELECT proposed FROM proposal WHERE round_id = $1;

-- Timers. 4 is GRANT_OFFERED.

-- name: due_acceptances
SELECT application_id
  FROM case_grant
 WHERE state = 4
   AND accept_by_at_us <= $1::bigint
 ORDER BY accept_by_at_us, application_id
 LIMIT 100;

-- Own events.

-- name: open_accounts
INSERT INTO account (call_id, name, balance_ore)
VALUES ($1, $2, 0), ($1, $3, 0)
    ON CONFLICT (call_id, name) DO NOTHING;

-- name: move_money
UPDATE account
   SET balance_ore = balance_ore + CASE WHEN name = $2 THEN -$4::bigint ELSE $4::bigint END
 WHERE call_id = $1
   AND name IN ($2, $3);

-- name: add_posting
INSERT INTO posting (stream, version, line, call_id, from_account, to_account, amount_ore, frame, frame_number,
                     residual_ore, at_us)
VALUES ($1, $2::bigint, $3::integer, $4, $5, $6, $7::bigint, $8, $9::bigint, $10::bigint, $11::bigint);

-- name: add_reservation
INSERT INTO reservation (extra_call_id, call_id, amount_ore) VALUES ($1, $2, $3::bigint);

-- name: add_appropriation
INSERT INTO appropriation (call_id, year, chapter_post, amount_ore, letter_reference)
VALUES ($1, $2::integer, $3, $4::bigint, $5);

-- name: add_proposal
INSERT INTO proposal (round_id, call_id, proposed) VALUES ($1, $2, $3::bytea);

-- name: place_on_reserve
INSERT INTO case_grant (application_id, call_id, state, reserve_rank) VALUES ($1, $2, $3::smallint, $4::bigint);

-- name: decide
INSERT INTO case_grant (application_id, call_id, state, decided_by, prepared_by, amount_ore, award)
VALUES ($1, $2, $3::smallint, $4, $5::text[], $6::bigint, $7::bytea)
    ON CONFLICT (application_id) DO UPDATE
   SET state = excluded.state, decided_by = excluded.decided_by, prepared_by = excluded.prepared_by,
       amount_ore = excluded.amount_ore, award = excluded.award;

-- name: set_state
UPDATE case_grant SET state = $2::smallint WHERE application_id = $1;

-- name: set_letter
UPDATE case_grant
   SET state = $2::smallint, letter_version = $3::bigint, letter = $4::bytea, letter_sha256 = $5,
       accept_by_at_us = $6::bigint
 WHERE application_id = $1;

-- name: set_acceptance
UPDATE case_grant SET acceptance = $2::bytea WHERE application_id = $1;

-- name: set_accept_by
UPDATE case_grant SET accept_by_at_us = $2::bigint WHERE application_id = $1;

-- Others' events.

-- name: hear_organisation
INSERT INTO heard_organisation (organisation_number, language)
VALUES ($1, $2)
    ON CONFLICT (organisation_number) DO UPDATE SET language = excluded.language;

-- name: hear_call
INSERT INTO heard_call (call_id, definition) VALUES ($1, $2::bytea) ON CONFLICT (call_id) DO NOTHING;

-- name: hear_application
INSERT INTO heard_application (application_id, call_id, organisation_number, name, language, content, applied_ore)
VALUES ($1, $2, $3, $4, $5, $6::bytea, $7::bigint)
    ON CONFLICT (application_id) DO UPDATE
   SET name = excluded.name, language = excluded.language, content = excluded.content,
       applied_ore = excluded.applied_ore;

-- name: hear_withdrawn
UPDATE heard_application SET withdrawn = true WHERE application_id = $1;

-- name: hear_rejected
UPDATE heard_application SET rejected = $2::boolean WHERE application_id = $1;

-- name: hear_conflict
INSERT INTO heard_conflict (application_id, person) VALUES ($1, $2) ON CONFLICT (application_id, person) DO NOTHING;

-- name: hear_reader
INSERT INTO heard_reader (application_id, place, person)
VALUES ($1, $2::integer, $3)
    ON CONFLICT (application_id, place) DO UPDATE SET person = excluded.person;

-- name: hear_hand
INSERT INTO heard_hand (application_id, person) VALUES ($1, $2) ON CONFLICT (application_id, person) DO NOTHING;

-- name: hear_evaluation
INSERT INTO heard_evaluation (application_id, version, total, tie_scores)
VALUES ($1, $2::bigint, $3::bigint, $4)
    ON CONFLICT (application_id) DO UPDATE
   SET version = excluded.version, total = excluded.total, tie_scores = excluded.tie_scores;

-- name: hear_recommendation
INSERT INTO heard_recommendation (application_id, version, evaluation_version, award, amount_ore, cuts)
VALUES ($1, $2::bigint, $3::bigint, $4::boolean, $5::bigint, $6)
    ON CONFLICT (application_id) DO UPDATE
   SET version = excluded.version, evaluation_version = excluded.evaluation_version, award = excluded.award,
       amount_ore = excluded.amount_ore, cuts = excluded.cuts, returned = false;

-- name: hear_returned
UPDATE heard_recommendation SET returned = true WHERE application_id = $1;

-- name: hear_payment
INSERT INTO heard_payment (payment_key, application_id, under_way)
VALUES ($1, $2, $3::boolean)
    ON CONFLICT (payment_key) DO UPDATE SET under_way = excluded.under_way;
