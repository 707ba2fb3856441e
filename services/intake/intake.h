// intake: takes applications in. Keeps the register of organisations, publishes calls, holds drafts, freezes
// a version when approval is requested, delivers it when approval has signed it, and closes the call by the
// clock.
//
// Read handle.c for what happens to a message, calls.c and rules.c for what is allowed, content.c and
// definition.c for what a complete application and a complete call are, store.sql for what is remembered.
#pragma once

#include "allocation_v1.pb-c.h"
#include "approval_v1.pb-c.h"
#include "evaluation_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "limits/limits.h"
#include "service/service.h"
#include "types_v1.pb-c.h"

// What is said to intake.
typedef Intake__V1__ImportOrganisations ImportOrganisations;
typedef Intake__V1__PublishCall PublishCall;
typedef Intake__V1__OpenExtraCall OpenExtraCall;
typedef Intake__V1__ExtendDeadline ExtendDeadline;
typedef Intake__V1__CloseCall CloseCall;
typedef Intake__V1__StartDraft StartDraft;
typedef Intake__V1__SaveDraft SaveDraft;
typedef Intake__V1__ConfirmParticipation ConfirmParticipation;
typedef Intake__V1__RequestApproval RequestApproval;
typedef Intake__V1__Withdraw Withdraw;
typedef Intake__V1__ExpireDraft ExpireDraft;
typedef Intake__V1__GetApplication GetApplication;
typedef Intake__V1__GetCall GetCall;

// What it says.
typedef Intake__V1__OrganisationRegistered OrganisationRegistered;
typedef Intake__V1__CallPublished CallPublished;
typedef Intake__V1__DeadlineExtended DeadlineExtended;
typedef Intake__V1__CallClosed CallClosed;
typedef Intake__V1__ApplicationDrafted ApplicationDrafted;
typedef Intake__V1__DraftSaved DraftSaved;
typedef Intake__V1__ParticipationConfirmed ParticipationConfirmed;
typedef Intake__V1__ApprovalRequested ApprovalRequested;
typedef Intake__V1__ApprovalReturned ApprovalReturned;
typedef Intake__V1__ApplicationSubmitted ApplicationSubmitted;
typedef Intake__V1__ApplicationSubmittedLate ApplicationSubmittedLate;
typedef Intake__V1__LateBecameTimely LateBecameTimely;
typedef Intake__V1__SignOffDisregarded SignOffDisregarded;
typedef Intake__V1__ApplicationWithdrawn ApplicationWithdrawn;
typedef Intake__V1__DraftExpired DraftExpired;
typedef Intake__V1__Application Application;
typedef Intake__V1__Call Call;
typedef Intake__V1__Calls Calls;

// What it hears from others.
typedef Approval__V1__SignedOff SignedOff;
typedef Approval__V1__SignOffReturned SignOffReturned;
typedef Allocation__V1__FrameReserved FrameReserved;
typedef Allocation__V1__AwardDecided AwardDecided;
typedef Allocation__V1__ApplicationRefused ApplicationRefused;
typedef Evaluation__V1__ApplicationRejected ApplicationRejected;

// Parts of messages.
typedef Intake__V1__Organisation Organisation;
typedef Intake__V1__Content Content;
typedef Intake__V1__Activity Activity;
typedef Intake__V1__ProjectGoal ProjectGoal;
typedef Intake__V1__PlanStep PlanStep;
typedef Intake__V1__TransferPlan TransferPlan;
typedef Intake__V1__EarlierProject EarlierProject;
typedef Intake__V1__Partner Partner;
typedef Intake__V1__YearBudget YearBudget;
typedef Intake__V1__BudgetLine BudgetLine;
typedef Intake__V1__OwnShare OwnShare;
typedef Intake__V1__OtherFunding OtherFunding;
typedef Intake__V1__Contact Contact;
typedef Types__V1__CallDefinition CallDefinition;
typedef Types__V1__Criterion Criterion;
typedef Types__V1__Text Text;

// Sizes that keep every event below LIMIT_EVENT_BYTES: a content or a definition, and what stands beside it.
#define CONTENT_BYTES    (LIMIT_EVENT_BYTES - 16 * 1024)
#define DEFINITION_BYTES (LIMIT_EVENT_BYTES - 48 * 1024)
#define IMPORT_MOST      500  // organisations in one import
#define CONTACTS_MOST    5    // persons to ask about an application

// Of an application. The numbers are the contract's.
enum application_state {
    DRAFT = INTAKE__V1__APPLICATION__STATE__DRAFT,
    AWAITING_APPROVAL = INTAKE__V1__APPLICATION__STATE__AWAITING_APPROVAL,
    SUBMITTED = INTAKE__V1__APPLICATION__STATE__SUBMITTED,
    SUBMITTED_LATE = INTAKE__V1__APPLICATION__STATE__SUBMITTED_LATE,
    WITHDRAWN = INTAKE__V1__APPLICATION__STATE__WITHDRAWN,
    EXPIRED = INTAKE__V1__APPLICATION__STATE__EXPIRED,
};

// ---------------------------------------------------------------------------------- what the rules look at

// The organisations of the register that were asked for; those that are unknown are not in it.
struct organisations {
    int count;
    Organisation **all;
};

struct call {
    bool known;
    const char *id;
    CallDefinition *definition;  // as published; the deadline in force is the one below
    int64_t deadline_at_us;
    int64_t expires_at_us;  // undelivered drafts end then
    bool late_filing;
    bool closed;
};

// What OpenExtraCall looks at beside the definition.
struct opening {
    struct call call;  // known: the id is taken
    struct call parent;
    int64_t reserved_ore;  // of the parent's frame, for this call; 0: nothing
};

// What ExtendDeadline looks at: the call, and its late applications that were signed before the new deadline.
struct extension {
    struct call call;
    int count;
    const char **late;
};

struct application {
    bool known;
    const char *id;
    const char *call_id;
    const char *lead;  // organisation number
    const char *municipality_number;
    const char *name;  // the lead's
    enum application_state state;
    uint32_t content_version;  // 0: nothing saved yet
    const char *content_sha256;
    Content *content;            // NULL: nothing saved yet
    uint32_t requested_version;  // the version frozen for approval, kept when the draft expires; 0: none
    const char *disregarded;     // why the last signature did not count; "": it did, or there was none
};

// A partner's word that it takes part with this share over all years.
struct confirmation {
    const char *organisation_number;
    int64_t own_ore;
};

// An application with what surrounds it. Handlers load the parts that their rule looks at.
struct dossier {
    struct application application;
    struct call call;
    struct organisations organisations;  // the actor's own (StartDraft), else the partners'
    int n_confirmations;
    const struct confirmation *confirmations;
    const char *decision;  // what was decided elsewhere: "rejected", "awarded" or "refused"; "": nothing yet
    struct erasure erasure;  // of its personal text
};

// ------------------------------------------------------------------------------------- fields (fields.c)

// What is wrong with a message's fields, one sentence each.
struct faults {
    arena_t *arena;
    bool complete;  // false: a draft, in which things may be missing
    int count;      // also of those that found no room in texts
    const char *texts[100];
};

// Put a sentence on the list: fault always, lack only in something that must be complete.
void fault(struct faults *faults, const char *format, ...) __attribute__((format(printf, 2, 3)));
void lack(struct faults *faults, const char *format, ...) __attribute__((format(printf, 2, 3)));

// Checks of one field, named by its path. A line is at most LIMIT_LINE_BYTES without line feeds, prose at
// most LIMIT_TEXT_BYTES; both lack when blank. A both is a Text with both written forms.
void field_line(struct faults *faults, const char *path, const char *text);
void field_prose(struct faults *faults, const char *path, const char *text);
void field_both(struct faults *faults, const char *path, const Text *text, size_t most);
// A number of things or a value in least..most. Too many is a fault, too few a lack.
void field_count(struct faults *faults, const char *path, size_t count, size_t least, size_t most);
void field_range(struct faults *faults, const char *path, int64_t value, int64_t least, int64_t most);
// Is the text least..most characters, all of them among these?
bool field_made_of(const char *text, const char *characters, size_t least, size_t most);
// Refuse with the faults as one sentence that begins with about ("call x"); OK when there are none.
status_t faults_refuse(struct message *message, const struct faults *faults, const char *about);
// Refuse a command whose field reason is missing or too long.
status_t field_reason(struct message *message, const char *reason);

// ----------------------------------------------------------------------------- contents and definitions

// What is wrong with a content (content.c): with faults->complete everything that a delivery needs, otherwise
// only sizes and counts. dossier gives call, lead, registered partners and confirmations; not looked at for a
// draft.
void content_check(struct faults *faults, const struct dossier *dossier, const Content *content);
// Is this organisation a partner in the content (NULL: in none)?
bool content_has_partner(const Content *content, const char *organisation_number);
// An organisation's own contribution over all years. False when the sum is no valid money.
bool content_share(const Content *content, const char *organisation_number, int64_t *ret_ore);
// Has the partner confirmed the share it has in the content?
bool content_confirmed(const struct dossier *dossier, const Content *content,
                       const char *organisation_number);

// What is wrong with the definition of a call (definition.c).
void definition_check(struct faults *faults, const CallDefinition *definition);

// ---------------------------------------------------------------------------------- rules (calls.c, rules.c)

// Each looks, refuses or emits. The time is message->at_us.
// Emit what is new or changed in the register.
status_t rule_import(struct message *message, const struct organisations *known,
                     const ImportOrganisations *command);
// Publish a main call that is whole and whose id is free.
status_t rule_publish(struct message *message, const struct call *taken, const PublishCall *command);
// Publish an extra call within what the ledger reserved for it in its parent.
status_t rule_open_extra(struct message *message, const struct opening *opening,
                         const OpenExtraCall *command);
// Move the deadline later for all, and make timely what now is.
status_t rule_extend(struct message *message, const struct extension *extension,
                     const ExtendDeadline *command);
// Close a call whose deadline has passed.
status_t rule_close(struct message *message, const struct call *call, const CloseCall *command);
// Begin an application in an open call for an organisation that may apply.
status_t rule_start(struct message *message, const struct dossier *dossier, const StartDraft *command);
// Keep a new version of the content; an open request for approval falls.
status_t rule_save(struct message *message, const struct dossier *dossier, const SaveDraft *command);
// A partner confirms its share as it stands.
status_t rule_confirm(struct message *message, const struct dossier *dossier,
                      const ConfirmParticipation *command);
// Freeze a complete version for the signature.
status_t rule_request(struct message *message, const struct dossier *dossier, const RequestApproval *command);
// Take an application back before it is decided.
status_t rule_withdraw(struct message *message, const struct dossier *dossier, const Withdraw *command);
// End a draft that was not delivered in time.
status_t rule_expire(struct message *message, const struct dossier *dossier, const ExpireDraft *command);
// Deliver the signed version, in time or late, or say why the signature does not count.
status_t rule_signed_off(struct message *message, const struct dossier *dossier, const SignedOff *event);
// Back to draft; nothing when the request is no longer the returned one.
status_t rule_returned(struct message *message, const struct dossier *dossier, const SignOffReturned *event);
// May the actor see this application?
status_t rule_see(struct message *message, const struct application *application, const char *application_id);
// Answer with the application as its own side sees it, and with what is missing.
status_t rule_show(struct message *message, const struct dossier *dossier);

// ------------------------------------------------------------------------------------- memory (store.c)

// How rows are held until the end of the transaction.
enum lock {
    LOCK_NONE,    // only looked at
    LOCK_SHARE,   // stays as it is
    LOCK_UPDATE,  // will be changed
};

// Loads. What is not there has known = false.
status_t store_load_call(struct message *message, const char *id, enum lock lock, struct call *ret);
status_t store_load_opening(struct message *message, const CallDefinition *definition, struct opening *ret);
status_t store_load_extension(struct message *message, const ExtendDeadline *command, struct extension *ret);
status_t store_list_calls(struct message *message, Calls *ret);
// The organisations with these numbers; LOCK_UPDATE holds them in the order of their numbers.
status_t store_load_organisations(struct message *message, const char *const numbers[], int count,
                                  enum lock lock, struct organisations *ret);
// The application, held as asked, with its call's deadline and state but without its definition. LOCK_SHARE
// for the call comes first, so that an extension of the deadline is either wholly before or wholly after.
status_t store_load_application(struct message *message, const char *id, enum lock call_lock, enum lock lock,
                                struct dossier *ret);
// Beside it: the call's definition, the partners of the content and their confirmations.
status_t store_load_surroundings(struct message *message, struct dossier *dossier);
// Beside it: what was decided elsewhere.
status_t store_load_decision(struct message *message, struct dossier *dossier);
// Asked ahead (service.h): what StartDraft loads; the application alone; it and what has been confirmed of it; it behind its
// call, for a signature.
handle_f store_ahead_start, store_ahead_application, store_ahead_participation, store_ahead_signed_off;

// One apply for each event.
handle_f store_organisation_registered, store_call_published, store_deadline_extended, store_call_closed,
    store_application_drafted, store_draft_saved, store_participation_confirmed, store_approval_requested,
    store_approval_returned, store_application_submitted, store_application_submitted_late,
    store_late_became_timely, store_sign_off_disregarded, store_application_withdrawn, store_draft_expired;

// One hear for each event of others that is remembered.
handle_f store_frame_reserved, store_application_rejected, store_award_decided, store_application_refused;

extern const struct service intake_service;
