-- What payment remembers, and everything it says to the database. See payment.h for what it is for.

-- schema: 1 instalments, their orders, claims
CREATE TABLE payment (               -- one row for each key; the key is one payment for ever
    payment_key text PRIMARY KEY,
    application_id text NOT NULL,
    call_id text NOT NULL,
    year integer NOT NULL,
    instalment integer NOT NULL,
    amount_ore bigint NOT NULL CHECK (amount_ore > 0),
    creditor_name text NOT NULL,
    creditor_organisation_number text NOT NULL,
    creditor_account text NOT NULL,
    kid text NOT NULL,
    letter_version bigint NOT NULL,
    state smallint NOT NULL,         -- payment.v1.Payment.State, never STOPPED
    coding text,
    value_date text,
    content_sha256 text,
    prepared_by text,
    disposed_by text,
    attested_by text,
    authorised_by text,
    account_changed_by text,
    stopped_by text,                 -- NULL: not stopped
    end_to_end_id text UNIQUE,
    attempt bigint NOT NULL DEFAULT 0,      -- of the last order; 0: none
    times_sent bigint NOT NULL DEFAULT 0,
    message_id text,
    last_text text,
    UNIQUE (application_id, year, instalment),
    -- No money moves without the required different people (a NULL makes a check hold).
    CONSTRAINT attestant_is_not_disposer CHECK (attested_by <> disposed_by),
    CONSTRAINT authoriser_is_not_preparer CHECK (authorised_by <> prepared_by),
    CONSTRAINT authoriser_is_not_disposer CHECK (authorised_by <> disposed_by),
    CONSTRAINT authoriser_is_not_attestant CHECK (authorised_by <> attested_by),
    CONSTRAINT account_changer_does_not_dispose CHECK (disposed_by <> account_changed_by),
    CONSTRAINT account_changer_does_not_attest CHECK (attested_by <> account_changed_by),
    CONSTRAINT account_changer_does_not_authorise CHECK (authorised_by <> account_changed_by),
    CONSTRAINT signatures_stand_in_order CHECK (
        (disposed_by IS NULL OR content_sha256 IS NOT NULL) AND
        (attested_by IS NULL OR disposed_by IS NOT NULL) AND
        (authorised_by IS NULL OR attested_by IS NOT NULL)),
    -- AUTHORISED, SENT and CONFIRMED need an authoriser.
    CONSTRAINT money_moves_authorised CHECK (state NOT IN (5, 6, 7) OR authorised_by IS NOT NULL)
);
CREATE INDEX payment_call ON payment (call_id);

CREATE TABLE payment_order (         -- one row for each attempt
    payment_key text NOT NULL REFERENCES payment,
    attempt bigint NOT NULL,
    ordered_at_us bigint NOT NULL,
    message_id text,                 -- the finance system's name for it, once taken
    outcome smallint NOT NULL,       -- enum order_outcome
    PRIMARY KEY (payment_key, attempt)
);
-- Each payment is under way or settled at most once: ORDERED, TAKEN, ACKNOWLEDGED, SETTLED.
CREATE UNIQUE INDEX payment_order_live ON payment_order (payment_key) WHERE outcome IN (1, 2, 3, 4);

CREATE TABLE payment_status (        -- what the finance system has said, so that a repeat changes nothing
    status_id text PRIMARY KEY,
    payment_key text NOT NULL,
    said_at_us bigint NOT NULL
);

CREATE TABLE claim (
    claim_id text PRIMARY KEY,
    application_id text NOT NULL,
    call_id text NOT NULL,
    organisation_number text NOT NULL,
    kid text NOT NULL UNIQUE,
    amount_ore bigint NOT NULL CHECK (amount_ore > 0),
    outstanding_ore bigint NOT NULL CHECK (outstanding_ore BETWEEN 0 AND amount_ore),
    due_at_us bigint NOT NULL
);
CREATE INDEX claim_call ON claim (call_id);

CREATE TABLE receipt (
    receipt_id text PRIMARY KEY,
    claim_id text NOT NULL REFERENCES claim,
    amount_ore bigint NOT NULL CHECK (amount_ore > 0),
    received_at_us bigint NOT NULL
);

CREATE TABLE heard_award (           -- who decided an award: may neither attest nor authorise its payment
    application_id text NOT NULL,
    decided_by text NOT NULL,
    PRIMARY KEY (application_id, decided_by)
);
CREATE TABLE heard_letter (          -- the newest letter of a grant's year
    application_id text NOT NULL,
    year integer NOT NULL,
    letter_version bigint NOT NULL,
    PRIMARY KEY (application_id, year)
);
CREATE TABLE heard_renounced (
    application_id text PRIMARY KEY,
    at_us bigint NOT NULL
);

-- Loading. A command holds the row of its payment or claim; a query does not.

-- name: load_payment
SELECT payment_key, application_id, call_id, year, instalment, amount_ore, creditor_name,
       creditor_organisation_number, creditor_account, kid, letter_version, state, coding, value_date,
       content_sha256, prepared_by, disposed_by, attested_by, authorised_by, account_changed_by, stopped_by,
       end_to_end_id, attempt, times_sent, message_id, last_text,
       (SELECT heard.letter_version FROM heard_letter AS heard
         WHERE heard.application_id = payment.application_id AND heard.year = payment.year),
       EXISTS (SELECT FROM heard_renounced AS heard WHERE heard.application_id = payment.application_id),
       EXISTS (SELECT FROM heard_award AS heard
                WHERE heard.application_id = payment.application_id AND heard.decided_by = $2)
  FROM payment
 WHERE payment_key = $1
   FOR UPDATE;

-- name: find_payment_by_end_to_end_id
SELECT payment_key FROM payment WHERE end_to_end_id = $1;

-- name: find_payments_of
SELECT payment_key FROM payment WHERE application_id = $1 ORDER BY payment_key;

-- name: list_payments
SELECT payment_key, application_id, call_id, year, instalment, amount_ore, creditor_name,
       creditor_organisation_number, creditor_account, kid, letter_version, state, coding, value_date,
       content_sha256, prepared_by, disposed_by, attested_by, authorised_by, account_changed_by, stopped_by,
       end_to_end_id, attempt, times_sent, message_id, last_text, 0, false, false
  FROM payment
 WHERE payment_key = $1 OR call_id = $2
 ORDER BY payment_key;

-- name: load_order
SELECT attempt, outcome FROM payment_order WHERE payment_key = $1 AND message_id = $2 ORDER BY attempt DESC LIMIT 1;

-- name: find_status
SELECT payment_key FROM payment_status WHERE status_id = $1;

-- name: load_claim
SELECT claim_id, application_id, call_id, kid, amount_ore, outstanding_ore, due_at_us
  FROM claim WHERE claim_id = $1 FOR UPDATE;

-- name: load_claim_by_kid
SELECT claim_id, application_id, call_id, kid, amount_ore, outstanding_ore, due_at_us
  FROM claim WHERE kid = $1 FOR UPDATE;

-- name: list_claims
SELECT claim_id, application_id, call_id, kid, amount_ore, outstanding_ore, due_at_us
  FROM claim WHERE call_id = $1 ORDER BY claim_id;

-- name: load_receipt
SELECT claim_id, amount_ore FROM receipt WHERE receipt_id = $1;

-- Heard facts.

-- name: hear_award
INSERT INTO heard_award (application_id, decided_by) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- name: hear_letter
INSERT INTO heard_letter (application_id, year, letter_version) VALUES ($1, $2, $3)
    ON CONFLICT (application_id, year) DO UPDATE
   SET letter_version = greatest(heard_letter.letter_version, excluded.letter_version);

-- name: hear_renounced
INSERT INTO heard_renounced (application_id, at_us) VALUES ($1, $2) ON CONFLICT DO NOTHING;

-- Own events. A key that fell before it was sent may become due again; no other may.

-- name: put_due
INSERT INTO payment (payment_key, application_id, call_id, year, instalment, amount_ore, creditor_name,
                     creditor_organisation_number, creditor_account, kid, letter_version, state)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, 1)
    ON CONFLICT (payment_key) DO UPDATE
   SET amount_ore = excluded.amount_ore, creditor_name = excluded.creditor_name,
       creditor_organisation_number = excluded.creditor_organisation_number,
       creditor_account = excluded.creditor_account, kid = excluded.kid,
       letter_version = excluded.letter_version, state = 1,
       account_changed_by = NULL
 WHERE payment.state = 11;

-- name: put_prepared
UPDATE payment
   SET state = 2, coding = $2, value_date = $3, content_sha256 = $4, prepared_by = $5,
       disposed_by = NULL, attested_by = NULL, authorised_by = NULL
 WHERE payment_key = $1;

-- name: put_disposed
UPDATE payment SET state = 3, disposed_by = $2 WHERE payment_key = $1;

-- name: put_attested
UPDATE payment SET state = 4, attested_by = $2 WHERE payment_key = $1;

-- name: put_authorised
UPDATE payment SET state = 5, authorised_by = $2, end_to_end_id = $3, attempt = $4 WHERE payment_key = $1;

-- name: put_order
INSERT INTO payment_order (payment_key, attempt, ordered_at_us, outcome) VALUES ($1, $2, $3, 1);

-- name: put_retried
UPDATE payment SET state = 5, attempt = $2 WHERE payment_key = $1;

-- name: put_order_taken
UPDATE payment_order SET message_id = $3, outcome = 2 WHERE payment_key = $1 AND attempt = $2;

-- name: put_sent
UPDATE payment SET state = 6, times_sent = times_sent + 1, message_id = $2 WHERE payment_key = $1;

-- name: put_outcome
UPDATE payment_order SET outcome = $3 WHERE payment_key = $1 AND attempt = $2;

-- name: put_state
UPDATE payment SET state = $2, last_text = $3 WHERE payment_key = $1;

-- name: put_status
INSERT INTO payment_status (status_id, payment_key, said_at_us) VALUES ($1, $2, $3) ON CONFLICT DO NOTHING;

-- name: put_questioned
UPDATE payment SET stopped_by = coalesce(stopped_by, 'finance'), last_text = $2 WHERE payment_key = $1;

-- name: put_stopped
UPDATE payment SET stopped_by = $2, last_text = $3 WHERE payment_key = $1;

-- name: put_released
UPDATE payment SET stopped_by = NULL WHERE payment_key = $1;

-- name: put_account
UPDATE payment
   SET state = 1, creditor_account = $2, account_changed_by = $3, coding = NULL, value_date = NULL,
       content_sha256 = NULL, prepared_by = NULL, disposed_by = NULL, attested_by = NULL, authorised_by = NULL
 WHERE payment_key = $1;

-- name: put_voided
UPDATE payment
   SET state = 11, coding = NULL, value_date = NULL, content_sha256 = NULL, prepared_by = NULL,
       disposed_by = NULL, attested_by = NULL, authorised_by = NULL, last_text = $2
 WHERE payment_key = $1;

-- name: put_claim
INSERT INTO claim (claim_id, application_id, call_id, organisation_number, kid, amount_ore, outstanding_ore,
                   due_at_us)
VALUES ($1, $2, $3, $4, $5, $6, $6, $7);

-- name: put_receipt
INSERT INTO receipt (receipt_id, claim_id, amount_ore, received_at_us) VALUES ($1, $2, $3, $4);

-- name: put_outstanding
UPDATE claim SET outstanding_ore = $2 WHERE claim_id = $1;
