-- What evaluation remembers, and all it says to the database.

-- schema: 1 cases, readers, scores, recommendations; heard calls, applications and decisions

-- Own tables: written only by the apply of own events. One row for each delivered application.
CREATE TABLE case_file (
    application_id text PRIMARY KEY,
    call_id text NOT NULL,
    organisation_number text NOT NULL,
    state smallint NOT NULL,                 -- evaluation.v1.Case.State
    rejected_late boolean NOT NULL DEFAULT false,
    applied_ore bigint NOT NULL CHECK (applied_ore >= 0),
    checked_by text NOT NULL DEFAULT '',     -- subject of who answered the formal check
    unmet integer NOT NULL DEFAULT 0,        -- a bit for each item that was not met
    rejected_by text NOT NULL DEFAULT '',
    reopened boolean NOT NULL DEFAULT false, -- a recommendation was returned
    evaluation_version bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,         -- of the latest evaluation, hundredths
    recommendation_version bigint NOT NULL DEFAULT 0,
    CHECK (rejected_by = '' OR rejected_by <> checked_by)
);
CREATE INDEX case_file_call ON case_file (call_id, application_id);
CREATE TABLE interest (                      -- a conflict, once declared, stays
    application_id text NOT NULL,
    person text NOT NULL,
    conflict boolean NOT NULL,
    ground text NOT NULL,
    PRIMARY KEY (application_id, person)
);
CREATE TABLE reader (                        -- who reads now; nobody reads twice
    application_id text NOT NULL,
    place smallint NOT NULL CHECK (place BETWEEN 1 AND 3),
    person text NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (application_id, place),
    UNIQUE (application_id, person)
);
CREATE TABLE score (                         -- also of readers who were replaced
    application_id text NOT NULL,
    person text NOT NULL,
    criterion text NOT NULL,
    place smallint NOT NULL,
    value integer NOT NULL,
    reason text NOT NULL,
    PRIMARY KEY (application_id, person, criterion)
);
CREATE TABLE recommendation (                -- every version; returned_by '' while it stands
    application_id text NOT NULL,
    version bigint NOT NULL,
    award boolean NOT NULL,
    amount_ore bigint NOT NULL CHECK (amount_ore >= 0),
    recommended_by text NOT NULL,
    returned_by text NOT NULL DEFAULT '',
    PRIMARY KEY (application_id, version),
    CHECK (returned_by <> recommended_by)
);

-- Heard tables: written only as others' events are heard.
CREATE TABLE heard_organisation (
    organisation_number text PRIMARY KEY,
    language text NOT NULL
);
CREATE TABLE heard_call (
    call_id text PRIMARY KEY,
    definition bytea NOT NULL,
    deadline_at_us bigint NOT NULL,          -- the one in force
    closed_at_us bigint NOT NULL DEFAULT 0   -- the deadline that the clock closed at
);
CREATE TABLE heard_application (
    application_id text PRIMARY KEY,
    organisation_number text NOT NULL,
    language text NOT NULL,                  -- that the applicant chose; '' none
    content bytea NOT NULL
);
CREATE TABLE heard_decision (
    application_id text PRIMARY KEY
);

-- schema: 2 what the relation is
ALTER TABLE interest ADD COLUMN relation bytea NOT NULL DEFAULT '';  -- a seal (types.v1.Private)

-- Loading a case.

-- name: lock_case
SELECT application_id FROM case_file WHERE application_id = $1 FOR UPDATE;

-- name: load_case
SELECT case_file.call_id, case_file.organisation_number, case_file.state, case_file.rejected_late,
       case_file.applied_ore, case_file.checked_by, case_file.unmet, case_file.reopened,
       case_file.evaluation_version, case_file.recommendation_version, recommendation.recommended_by,
       heard_call.definition, heard_call.closed_at_us >= heard_call.deadline_at_us,
       CASE WHEN heard_application.language <> '' THEN heard_application.language
            ELSE heard_organisation.language END = 'nn',
       EXISTS (SELECT FROM heard_decision WHERE heard_decision.application_id = case_file.application_id)
  FROM case_file
  LEFT JOIN recommendation ON recommendation.application_id = case_file.application_id
                          AND recommendation.version = case_file.recommendation_version
  LEFT JOIN heard_call ON heard_call.call_id = case_file.call_id
  LEFT JOIN heard_application ON heard_application.application_id = case_file.application_id
  LEFT JOIN heard_organisation ON heard_organisation.organisation_number = case_file.organisation_number
 WHERE case_file.application_id = $1;

-- name: load_interests
SELECT person, conflict, ground, relation FROM interest WHERE application_id = $1 ORDER BY person;

-- name: load_readers
SELECT place, person, reason FROM reader WHERE application_id = $1 ORDER BY place;

-- name: load_scores
SELECT person, place, criterion, value, reason
  FROM score
 WHERE application_id = $1
 ORDER BY place, person, criterion;

-- name: load_content
SELECT content FROM heard_application WHERE application_id = $1;

-- name: list_cases
SELECT case_file.application_id, case_file.organisation_number, case_file.state, case_file.applied_ore,
       case_file.total,
       CASE WHEN recommendation.returned_by = '' THEN recommendation.amount_ore ELSE 0 END
  FROM case_file
  LEFT JOIN recommendation ON recommendation.application_id = case_file.application_id
                          AND recommendation.version = case_file.recommendation_version
 WHERE case_file.call_id = $1
 ORDER BY case_file.application_id
 LIMIT 2000;

-- Own events.

-- name: open_case
INSERT INTO case_file (application_id, call_id, organisation_number, state, applied_ore)
VALUES ($1, $2, $3, $4::smallint, $5::bigint);

-- name: set_state
UPDATE case_file SET state = $2::smallint, reopened = false WHERE application_id = $1;

-- name: declare_interest
INSERT INTO interest (application_id, person, conflict, ground, relation)
VALUES ($1, $2, $3::boolean, $4, $5::bytea)
    ON CONFLICT (application_id, person) DO UPDATE
   SET conflict = interest.conflict OR excluded.conflict,
       ground = CASE WHEN interest.conflict THEN interest.ground ELSE excluded.ground END,
       relation = CASE WHEN interest.conflict THEN interest.relation ELSE excluded.relation END;

-- name: answer_check
UPDATE case_file SET state = $2::smallint, checked_by = $3, unmet = $4::integer WHERE application_id = $1;

-- name: admit_late
UPDATE case_file SET state = $2::smallint, rejected_late = false, rejected_by = '' WHERE application_id = $1;

-- name: reject_case
UPDATE case_file SET state = $2::smallint, rejected_by = $3, rejected_late = $4::boolean WHERE application_id = $1;

-- name: assign_reader
INSERT INTO reader (application_id, place, person, reason)
VALUES ($1, $2::smallint, $3, $4)
    ON CONFLICT (application_id, place) DO UPDATE SET person = excluded.person, reason = excluded.reason;

-- What was completed is open again, since another reads or another score stands. $2 is EVALUATED, $3 ELIGIBLE.
-- name: reopen_case
UPDATE case_file SET state = $3::smallint, reopened = false WHERE application_id = $1 AND state = $2::smallint;

-- name: give_score
INSERT INTO score (application_id, person, criterion, place, value, reason)
VALUES ($1, $2, $3, $4::smallint, $5::integer, $6)
    ON CONFLICT (application_id, person, criterion) DO UPDATE
   SET place = excluded.place, value = excluded.value, reason = excluded.reason;

-- name: complete_evaluation
UPDATE case_file
   SET state = $2::smallint, reopened = false, evaluation_version = $3::bigint, total = $4::bigint
 WHERE application_id = $1;

-- name: add_recommendation
INSERT INTO recommendation (application_id, version, award, amount_ore, recommended_by)
VALUES ($1, $2::bigint, $3::boolean, $4::bigint, $5);

-- name: set_recommended
UPDATE case_file
   SET state = $2::smallint, reopened = false, recommendation_version = $3::bigint
 WHERE application_id = $1;

-- name: return_recommendation
UPDATE recommendation
   SET returned_by = $2
 WHERE application_id = $1
   AND version = (SELECT recommendation_version FROM case_file WHERE application_id = $1);

-- name: set_returned
UPDATE case_file SET state = $2::smallint, reopened = true WHERE application_id = $1;

-- Others' events.

-- name: hear_organisation
INSERT INTO heard_organisation (organisation_number, language)
VALUES ($1, $2)
    ON CONFLICT (organisation_number) DO UPDATE SET language = excluded.language;

-- name: hear_call
INSERT INTO heard_call (call_id, definition, deadline_at_us)
VALUES ($1, $2::bytea, $3::bigint)
    ON CONFLICT (call_id) DO NOTHING;

-- name: hear_extension
UPDATE heard_call SET deadline_at_us = $2::bigint WHERE call_id = $1;

-- name: hear_closed
UPDATE heard_call SET closed_at_us = greatest(closed_at_us, $2::bigint) WHERE call_id = $1;

-- name: hear_application
INSERT INTO heard_application (application_id, organisation_number, language, content)
VALUES ($1, $2, $3, $4::bytea)
    ON CONFLICT (application_id) DO UPDATE SET language = excluded.language, content = excluded.content;

-- name: hear_decision
INSERT INTO heard_decision (application_id) VALUES ($1) ON CONFLICT (application_id) DO NOTHING;
