-- What reporting remembers, and everything it says to the database. See reporting.h for what it is for. Three
-- kinds of tables: duty is fed by own events; heard_* by others' events; view_* by every event, through the
-- witness.

-- schema: 1 duties, what was heard, the read model
CREATE TABLE duty (
    application_id text PRIMARY KEY,
    call_id text NOT NULL,
    organisation_number text NOT NULL,
    year integer NOT NULL,
    letter bytea NOT NULL,                   -- allocation.v1.GrantLetter as it was accepted
    opens_at_us bigint NOT NULL,
    due_at_us bigint NOT NULL,
    state smallint NOT NULL,                 -- reporting.v1.ReportState.State
    overdue boolean NOT NULL DEFAULT false,
    report_version bigint NOT NULL DEFAULT 0,
    report_sha256 text,
    report bytea,                            -- reporting.v1.Report
    cost_ore bigint NOT NULL DEFAULT 0 CHECK (cost_ore >= 0),
    unspent_ore bigint NOT NULL DEFAULT 0 CHECK (unspent_ore >= 0),
    own_contribution_short boolean NOT NULL DEFAULT false,
    first_delivered_at_us bigint,
    approved_by text,
    repayment_decided_by text,
    repayment_decided_ore bigint NOT NULL DEFAULT 0,
    CONSTRAINT approver_does_not_decide_repayment CHECK (repayment_decided_by <> approved_by),
    CONSTRAINT repayment_is_what_is_unspent CHECK (repayment_decided_ore IN (0, unspent_ore)),
    -- APPROVED and CLOSED need an approver.
    CONSTRAINT approval_has_approver CHECK (state NOT IN (6, 7) OR approved_by IS NOT NULL)
);
CREATE INDEX duty_opens ON duty (opens_at_us) WHERE state = 1;
CREATE INDEX duty_falls_due ON duty (due_at_us) WHERE state IN (2, 3) AND NOT overdue;

CREATE TABLE heard_call (
    call_id text PRIMARY KEY,
    auditor_threshold_kroner bigint NOT NULL
);
CREATE TABLE heard_letter (
    application_id text NOT NULL,
    letter_version bigint NOT NULL,
    letter bytea NOT NULL,
    PRIMARY KEY (application_id, letter_version)
);
CREATE TABLE heard_payment (
    payment_key text PRIMARY KEY,            -- "<application id>#<year>#<instalment>"
    grant_key text NOT NULL,                 -- "<application id>#<year>"
    paid_ore bigint NOT NULL                 -- 0 after it came back
);
CREATE INDEX heard_payment_grant ON heard_payment (grant_key);
CREATE TABLE heard_claim (
    claim_id text PRIMARY KEY,               -- "<application id>#<year>#claim"
    claimed_ore bigint NOT NULL,
    outstanding_ore bigint NOT NULL
);
CREATE TABLE heard_deed (                    -- who did what that keeps them from deciding a repayment
    application_id text NOT NULL,
    person text NOT NULL,
    did text NOT NULL,
    PRIMARY KEY (application_id, person, did)
);

CREATE TABLE view_case (
    application_id text PRIMARY KEY,
    call_id text NOT NULL,
    organisation_number text NOT NULL,
    applicant text NOT NULL,
    state text NOT NULL,                     -- see reporting.v1.Case.state
    applied_ore bigint NOT NULL DEFAULT 0,
    total bigint NOT NULL DEFAULT 0,
    recommended_ore bigint NOT NULL DEFAULT 0,
    awarded_ore bigint NOT NULL DEFAULT 0,   -- live: not lapsed, declined or renounced
    accepted_ore bigint NOT NULL DEFAULT 0,
    lapsed_ore bigint NOT NULL DEFAULT 0,    -- lapsed, declined or renounced
    paid_ore bigint NOT NULL DEFAULT 0,      -- confirmed by the bank less returned
    claimed_ore bigint NOT NULL DEFAULT 0,
    repaid_ore bigint NOT NULL DEFAULT 0
);
CREATE INDEX view_case_call ON view_case (call_id);
CREATE TABLE view_call (
    call_id text PRIMARY KEY,
    year integer NOT NULL,
    frame_ore bigint NOT NULL,
    reserved_ore bigint NOT NULL DEFAULT 0,
    deadline_at_us bigint NOT NULL
);
CREATE TABLE view_moment (                   -- one row for each event of the log
    position bigint PRIMARY KEY,
    subject text NOT NULL,                   -- the application id where there is one
    at_us bigint NOT NULL,
    type text NOT NULL,
    actor_subject text NOT NULL,
    actor_role smallint NOT NULL,
    actor_organisation text NOT NULL,
    internal boolean NOT NULL,               -- the directorate's own preparation: not shown to municipalities
    summary text NOT NULL
);
CREATE INDEX view_moment_subject ON view_moment (subject, position);

-- Duties.

-- name: load_duty
SELECT application_id, call_id, organisation_number, year, letter, opens_at_us, due_at_us, state, overdue,
       report_version, report_sha256, report, cost_ore, unspent_ore, own_contribution_short, first_delivered_at_us,
       approved_by, repayment_decided_ore
  FROM duty WHERE application_id = $1 FOR UPDATE;

-- name: read_duty
SELECT application_id, call_id, organisation_number, year, letter, opens_at_us, due_at_us, state, overdue,
       report_version, report_sha256, report, cost_ore, unspent_ore, own_contribution_short, first_delivered_at_us,
       approved_by, repayment_decided_ore
  FROM duty WHERE application_id = $1;

-- What others have told about a duty: $1 application, $2 year, $3 call, $4 who acts.
-- name: load_told
SELECT (SELECT coalesce(sum(paid_ore), 0)::bigint FROM heard_payment
         WHERE grant_key = $1::text || '#' || $2::bigint),
       (SELECT auditor_threshold_kroner FROM heard_call WHERE call_id = $3),
       (SELECT claimed_ore FROM heard_claim WHERE claim_id = $1::text || '#' || $2::bigint || '#claim'),
       (SELECT outstanding_ore FROM heard_claim WHERE claim_id = $1::text || '#' || $2::bigint || '#claim'),
       (SELECT min(did) FROM heard_deed WHERE application_id = $1::text AND person = $4);

-- name: load_letter
SELECT letter FROM heard_letter WHERE application_id = $1 AND letter_version = $2;

-- name: due_open
SELECT application_id FROM duty WHERE state = 1 AND opens_at_us <= $1 ORDER BY opens_at_us, application_id LIMIT 100;

-- name: due_overdue
SELECT application_id
  FROM duty
 WHERE state IN (2, 3) AND NOT overdue AND first_delivered_at_us IS NULL AND due_at_us <= $1
 ORDER BY due_at_us, application_id
 LIMIT 100;

-- Heard facts.

-- name: hear_call
INSERT INTO heard_call (call_id, auditor_threshold_kroner) VALUES ($1, $2)
    ON CONFLICT (call_id) DO UPDATE SET auditor_threshold_kroner = excluded.auditor_threshold_kroner;

-- name: hear_letter
INSERT INTO heard_letter (application_id, letter_version, letter) VALUES ($1, $2, $3::bytea) ON CONFLICT DO NOTHING;

-- name: hear_paid
INSERT INTO heard_payment (payment_key, grant_key, paid_ore)
VALUES ($1::text, regexp_replace($1::text, '#[^#]*$', ''), $2)
    ON CONFLICT (payment_key) DO UPDATE SET paid_ore = excluded.paid_ore;

-- name: hear_claim
INSERT INTO heard_claim (claim_id, claimed_ore, outstanding_ore) VALUES ($1, $2, $2) ON CONFLICT DO NOTHING;

-- name: hear_outstanding
UPDATE heard_claim SET outstanding_ore = $2 WHERE claim_id = $1;

-- name: hear_deed
INSERT INTO heard_deed (application_id, person, did) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- Own events. A duty that was cancelled, or closed for an earlier year, begins anew; its report versions go
-- on.

-- name: put_registered
INSERT INTO duty (application_id, call_id, organisation_number, year, letter, opens_at_us, due_at_us, state)
VALUES ($1, $2, $3, $4, $5::bytea, $6, $7, 1)
    ON CONFLICT (application_id) DO UPDATE
   SET year = excluded.year, letter = excluded.letter, opens_at_us = excluded.opens_at_us,
       due_at_us = excluded.due_at_us, state = 1, overdue = false, report_sha256 = NULL, report = NULL,
       cost_ore = 0, unspent_ore = 0, own_contribution_short = false, first_delivered_at_us = NULL,
       approved_by = NULL, repayment_decided_by = NULL, repayment_decided_ore = 0
 WHERE duty.state IN (7, 8);

-- name: put_state
UPDATE duty SET state = $2 WHERE application_id = $1;

-- name: put_overdue
UPDATE duty SET overdue = true WHERE application_id = $1;

-- name: put_due
UPDATE duty SET due_at_us = $2 WHERE application_id = $1;

-- name: put_prepared
UPDATE duty
   SET state = 3, report_version = $2, report_sha256 = $3, report = $4::bytea, cost_ore = $5, unspent_ore = $6,
       own_contribution_short = $7
 WHERE application_id = $1;

-- name: put_delivered
UPDATE duty
   SET state = 4, overdue = false, first_delivered_at_us = coalesce(first_delivered_at_us, $2)
 WHERE application_id = $1;

-- name: put_approved
UPDATE duty
   SET state = 6, cost_ore = $2, unspent_ore = $3, own_contribution_short = $4, approved_by = $5
 WHERE application_id = $1;

-- name: put_repayment
UPDATE duty SET repayment_decided_ore = $2, repayment_decided_by = $3 WHERE application_id = $1;

-- The read model.

-- name: view_add_moment (many)
INSERT INTO view_moment (position, subject, at_us, type, actor_subject, actor_role, actor_organisation, internal,
                         summary)
SELECT * FROM unnest($1::bigint[], $2::text[], $3::bigint[], $4::text[], $5::text[], $6::smallint[], $7::text[],
                     $8::boolean[], $9::text[]);

-- name: view_set_state (many)
UPDATE view_case SET state = given.state
  FROM unnest($1::text[], $2::text[]) AS given (application_id, state)
 WHERE view_case.application_id = given.application_id;

-- name: view_open_case (many)
INSERT INTO view_case (application_id, call_id, organisation_number, applicant, state)
SELECT given.*, 'DRAFT' FROM unnest($1::text[], $2::text[], $3::text[], $4::text[]) AS given ON CONFLICT DO NOTHING;

-- name: view_set_applied (many)
UPDATE view_case SET applied_ore = given.applied_ore
  FROM unnest($1::text[], $2::bigint[]) AS given (application_id, applied_ore)
 WHERE view_case.application_id = given.application_id;

-- name: view_set_total
UPDATE view_case SET total = $2 WHERE application_id = $1;

-- name: view_set_recommended
UPDATE view_case SET recommended_ore = $2 WHERE application_id = $1;

-- name: view_set_awarded
UPDATE view_case AS seen SET awarded_ore = $2
  FROM view_call AS call
 WHERE seen.application_id = $1 AND call.call_id = seen.call_id AND call.year = $3;

-- name: view_set_accepted
UPDATE view_case AS seen SET accepted_ore = $2
  FROM view_call AS call
 WHERE seen.application_id = $1 AND call.call_id = seen.call_id AND call.year = $3;

-- name: view_release
UPDATE view_case SET lapsed_ore = lapsed_ore + awarded_ore, awarded_ore = 0, accepted_ore = 0
 WHERE application_id = $1;

-- name: view_add_paid
UPDATE view_case
   SET paid_ore = paid_ore + $2,
       state = CASE WHEN state = 'ACCEPTED' AND $2 > 0 THEN 'PAID'
                    WHEN state = 'PAID' AND paid_ore + $2 <= 0 THEN 'ACCEPTED'
                    ELSE state END
 WHERE application_id = $1;

-- name: view_add_claimed
UPDATE view_case SET claimed_ore = claimed_ore + $2 WHERE application_id = $1;

-- name: view_add_repaid
UPDATE view_case SET repaid_ore = repaid_ore + $2 WHERE application_id = $1;

-- name: view_unreport
UPDATE view_case SET state = CASE WHEN paid_ore > 0 THEN 'PAID' ELSE 'ACCEPTED' END WHERE application_id = $1;

-- name: view_open_call
INSERT INTO view_call (call_id, year, frame_ore, deadline_at_us) VALUES ($1, $2, $3, $4) ON CONFLICT DO NOTHING;

-- name: view_set_frame
UPDATE view_call SET frame_ore = $2 WHERE call_id = $1;

-- name: view_add_reserved
UPDATE view_call SET reserved_ore = reserved_ore + $2 WHERE call_id = $1;

-- name: view_set_deadline
UPDATE view_call SET deadline_at_us = $2 WHERE call_id = $1;

-- name: view_load_case
SELECT application_id, call_id, organisation_number, applicant, state, applied_ore, total, recommended_ore,
       awarded_ore, accepted_ore, paid_ore, claimed_ore, repaid_ore
  FROM view_case WHERE application_id = $1;

-- name: view_list_cases
SELECT application_id, call_id, organisation_number, applicant, state, applied_ore, total, recommended_ore,
       awarded_ore, accepted_ore, paid_ore, claimed_ore, repaid_ore
  FROM view_case WHERE call_id = $1 ORDER BY application_id;

-- name: view_load_moments
SELECT position, at_us, type, actor_subject, actor_role, actor_organisation, summary
  FROM view_moment WHERE subject = $1 AND (NOT internal OR $2::boolean) ORDER BY position;

-- name: view_load_call
SELECT call.call_id, call.frame_ore, call.reserved_ore, call.deadline_at_us,
       (SELECT coalesce(max(position), 0) FROM view_moment),
       coalesce(sum(seen.awarded_ore), 0)::bigint, coalesce(sum(seen.accepted_ore), 0)::bigint,
       coalesce(sum(seen.lapsed_ore), 0)::bigint, coalesce(sum(seen.paid_ore), 0)::bigint,
       coalesce(sum(seen.claimed_ore), 0)::bigint, coalesce(sum(seen.repaid_ore), 0)::bigint
  FROM view_call AS call LEFT JOIN view_case AS seen ON seen.call_id = call.call_id
 WHERE call.call_id = $1
 GROUP BY call.call_id;
