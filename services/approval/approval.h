// approval: who may sign for whom, and every sign-off: the delivery of an application, the acceptance of a
// grant, the report with its accounts. What is signed is the hash of a frozen version; any change of it voids
// the sign-off.
//
// Read handle.c for what happens to a message, signatories.c and rules.c for what is allowed with rights and
// with sign-offs, store.sql for what is remembered.
#pragma once

#include "allocation_v1.pb-c.h"
#include "approval_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "limits/limits.h"
#include "reporting_v1.pb-c.h"
#include "service/service.h"
#include "types_v1.pb-c.h"

// What is said to approval.
typedef Approval__V1__RegisterSignatory RegisterSignatory;
typedef Approval__V1__RegisterMandate RegisterMandate;
typedef Approval__V1__RevokeSignatory RevokeSignatory;
typedef Approval__V1__Approve Approve;
typedef Approval__V1__ReturnForEdit ReturnForEdit;
typedef Approval__V1__ListSignOffs ListSignOffs;
typedef Approval__V1__ListSignatories ListSignatories;

// What it says.
typedef Approval__V1__SignatoryRegistered SignatoryRegistered;
typedef Approval__V1__SignatoryRevoked SignatoryRevoked;
typedef Approval__V1__SignOffOpened SignOffOpened;
typedef Approval__V1__SignatureGiven SignatureGiven;
typedef Approval__V1__SignedOff SignedOff;
typedef Approval__V1__SignOffReturned SignOffReturned;
typedef Approval__V1__SignOffVoided SignOffVoided;
typedef Approval__V1__SignOffs SignOffs;
typedef Approval__V1__Signatories Signatories;
typedef Approval__V1__Signature Signature;

// What it hears from others.
typedef Intake__V1__OrganisationRegistered OrganisationRegistered;
typedef Intake__V1__ApprovalRequested ApprovalRequested;
typedef Intake__V1__DraftSaved DraftSaved;
typedef Intake__V1__ApplicationWithdrawn ApplicationWithdrawn;
typedef Intake__V1__DraftExpired DraftExpired;
typedef Allocation__V1__AcceptancePrepared AcceptancePrepared;
typedef Allocation__V1__GrantLetterIssued GrantLetterIssued;
typedef Allocation__V1__GrantLapsed GrantLapsed;
typedef Allocation__V1__GrantDeclined GrantDeclined;
typedef Reporting__V1__ReportPrepared ReportPrepared;
typedef Reporting__V1__DutyCancelled DutyCancelled;

// Short names of the contract's numbers.
#define DIRECTOR          APPROVAL__V1__CAPACITY__DIRECTOR
#define DISTRICT_DIRECTOR APPROVAL__V1__CAPACITY__DISTRICT_DIRECTOR
#define MANDATE           APPROVAL__V1__CAPACITY__MANDATE
#define PROJECT_OWNER     APPROVAL__V1__CAPACITY__PROJECT_OWNER
#define SUPERIOR_LEADER   APPROVAL__V1__CAPACITY__SUPERIOR_LEADER
#define APPLICATION       TYPES__V1__SIGN_OFF_KIND__APPLICATION
#define ACCEPTANCE        TYPES__V1__SIGN_OFF_KIND__ACCEPTANCE
#define REPORT            TYPES__V1__SIGN_OFF_KIND__REPORT

#define BIT(capacity)     (1U << (capacity))  // sets of capacities

// Of a sign-off, in the table as these numbers.
enum sign_off_state {
    OPEN = 1,      // waits for signatures
    SIGNED = 2,    // complete
    RETURNED = 3,  // sent back for editing
    VOIDED = 4,    // what was to be signed has changed or is gone
};

// ---------------------------------------------------------------------------------- what the rules look at

// A registration: this person, in this capacity, for this organisation.
struct signatory {
    bool known;
    SignatoryRegistered registered;
    bool revoked;
    int64_t revoked_at_us;
};

struct signatories {
    int count;
    struct signatory *all;
};

struct organisation {
    bool known;
    const char *name;
    const char *form;
};

// What a registration or a mandate looks at.
struct registration {
    struct signatory taken;  // known: the id is taken
    struct organisation organisation;
    struct signatories own;  // the actor's registrations: may it give a mandate?
};

struct sign_off {
    bool known;
    SignOffOpened opened;
    enum sign_off_state state;
    size_t n_signatures;
    Signature **signatures;  // of this version
};

// What a signature looks at: what is to be signed, and every registration of the person.
struct signing {
    struct sign_off sign_off;
    struct signatories own;
};

// A right that someone claims: to act for this organisation in one of these capacities, for this call and
// amount.
struct claim {
    const char *organisation_number;
    unsigned capacities;
    const char *call_id;
    int64_t amount_ore;
    const char *about;  // begins the refusal, "" for nothing
};

// ----------------------------------------------------------------- rights and rules (signatories.c, rules.c)

// The first of the actor's registrations that nothing bars from the claim now. Without one the refusal tells
// what bars the one that is nearest to fitting.
status_t right_find(struct message *message, const struct signatories *own, const struct claim *claim,
                    const SignatoryRegistered **ret);
// What a capacity is called in the contract.
const char *capacity_name(Approval__V1__Capacity capacity);
// Refuse a text for later readers (a reason, a note) that is missing or too long.
status_t check_prose(struct message *message, const char *field, const char *text);

// Each looks, refuses or emits. The time is message->at_us.
// Register who may sign by office.
status_t rule_register(struct message *message, const struct registration *registration,
                       const RegisterSignatory *command);
// A director lets another sign, within a scope and a period.
status_t rule_mandate(struct message *message, const struct registration *registration,
                      const RegisterMandate *command);
// End a registration from now on.
status_t rule_revoke(struct message *message, const struct signatory *signatory,
                     const RevokeSignatory *command);
// Sign exactly the version that waits.
status_t rule_approve(struct message *message, const struct signing *signing, const Approve *command);
// Send what waits back for editing.
status_t rule_return(struct message *message, const struct sign_off *sign_off, const ReturnForEdit *command);
// A version waits for signatures; an earlier one that still did is void.
status_t rule_open(struct message *message, const struct sign_off *earlier, const SignOffOpened *opening);
// What waited has changed or is gone; nothing when it does not wait any more.
status_t rule_void(struct message *message, const struct sign_off *sign_off, const char *reason);
// Which organisation's lists may the actor see? asked empty: its own.
status_t rule_list(struct message *message, const char *asked, const char **ret_organisation);

// The id of a sign-off: "<application id>:<kind in lower case>".
char *sign_off_id(arena_t *arena, const char *application_id, Types__V1__SignOffKind kind);

// ------------------------------------------------------------------------------------- memory (store.c)

// Loads. What is not there has known = false. Sign-offs are held for change, registrations as they are.
status_t store_load_sign_off(struct message *message, const char *id, struct sign_off *ret);
// Asked ahead (service.h) for events about an application as it is drafted: its sign-off; after a draft was saved only when that
// took a request back.
handle_f store_ahead_application, store_ahead_saved;
status_t store_load_signatory(struct message *message, const char *id, struct signatory *ret);
status_t store_load_own(struct message *message, const char *person, struct signatories *ret);
status_t store_load_organisation(struct message *message, const char *number, struct organisation *ret);
status_t store_list_sign_offs(struct message *message, const char *organisation_number, SignOffs *ret);
status_t store_list_signatories(struct message *message, const char *organisation_number, int64_t at_us,
                                Signatories *ret);

// One apply for each event.
handle_f store_signatory_registered, store_signatory_revoked, store_sign_off_opened, store_signature_given,
    store_signed_off, store_sign_off_returned, store_sign_off_voided;

// The register of organisations, as heard from intake.
handle_f store_organisation_registered;

extern const struct service approval_service;
