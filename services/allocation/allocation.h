// allocation: keeps each call's frame in double entry and guards it, proposes who could get what, records
// what a budget holder decides, writes the letter, takes the acceptance, and gives back to the frame what is
// not used.
//
// Read handle.c for what happens to a message, rules.c for what is allowed in deciding, offer.c in what follows a
// decision, ledger.c for what moves money, propose.c and letter.c for how a proposal is computed and a letter
// written, store.sql for what is remembered.
#pragma once

#include "allocation_v1.pb-c.h"
#include "approval_v1.pb-c.h"
#include "evaluation_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "limits/limits.h"
#include "payment_v1.pb-c.h"
#include "service/service.h"
#include "types_v1.pb-c.h"

// What is said to allocation.
typedef Allocation__V1__ReserveFrame ReserveFrame;
typedef Allocation__V1__RecordAppropriation RecordAppropriation;
typedef Allocation__V1__ProposeAllocation ProposeAllocation;
typedef Allocation__V1__RecomputeProposal RecomputeProposal;
typedef Allocation__V1__DecideAward DecideAward;
typedef Allocation__V1__DecideRefusal DecideRefusal;
typedef Allocation__V1__PutOnReserve PutOnReserve;
typedef Allocation__V1__IssueLetter IssueLetter;
typedef Allocation__V1__Accept Accept;
typedef Allocation__V1__Decline Decline;
typedef Allocation__V1__ExtendAcceptance ExtendAcceptance;
typedef Allocation__V1__MissAcceptance MissAcceptance;
typedef Allocation__V1__ConfirmLapse ConfirmLapse;
typedef Allocation__V1__Renounce Renounce;
typedef Allocation__V1__GetFrame GetFrame;
typedef Allocation__V1__GetLetter GetLetter;
typedef Allocation__V1__GetProposal GetProposal;

// What it says.
typedef Allocation__V1__FrameOpened FrameOpened;
typedef Allocation__V1__FrameReserved FrameReserved;
typedef Allocation__V1__AppropriationRecorded AppropriationRecorded;
typedef Allocation__V1__AllocationProposed AllocationProposed;
typedef Allocation__V1__Recomputed Recomputed;
typedef Allocation__V1__AwardDecided AwardDecided;
typedef Allocation__V1__ApplicationRefused ApplicationRefused;
typedef Allocation__V1__PlacedOnReserve PlacedOnReserve;
typedef Allocation__V1__GrantLetterIssued GrantLetterIssued;
typedef Allocation__V1__AcceptancePrepared AcceptancePrepared;
typedef Allocation__V1__GrantAccepted GrantAccepted;
typedef Allocation__V1__AcceptanceDisregarded AcceptanceDisregarded;
typedef Allocation__V1__GrantDeclined GrantDeclined;
typedef Allocation__V1__AcceptanceExtended AcceptanceExtended;
typedef Allocation__V1__AcceptanceMissed AcceptanceMissed;
typedef Allocation__V1__GrantLapsed GrantLapsed;
typedef Allocation__V1__GrantRenounced GrantRenounced;
typedef Allocation__V1__PaymentPosted PaymentPosted;
typedef Allocation__V1__ClaimPosted ClaimPosted;
typedef Allocation__V1__RepaymentPosted RepaymentPosted;
typedef Allocation__V1__Frame Frame;
typedef Allocation__V1__Letter Letter;

// What it hears from others.
typedef Intake__V1__OrganisationRegistered OrganisationRegistered;
typedef Intake__V1__CallPublished CallPublished;
typedef Intake__V1__ApplicationSubmitted ApplicationSubmitted;
typedef Intake__V1__ApplicationSubmittedLate ApplicationSubmittedLate;
typedef Intake__V1__ApplicationWithdrawn ApplicationWithdrawn;
typedef Evaluation__V1__InterestDeclared InterestDeclared;
typedef Evaluation__V1__LateAdmitted LateAdmitted;
typedef Evaluation__V1__ReaderAssigned ReaderAssigned;
typedef Evaluation__V1__EvaluationCompleted EvaluationCompleted;
typedef Evaluation__V1__RecommendationMade RecommendationMade;
typedef Evaluation__V1__RecommendationReturned RecommendationReturned;
typedef Evaluation__V1__ApplicationRejected ApplicationRejected;
typedef Approval__V1__SignedOff SignedOff;
typedef Payment__V1__PaymentAuthorised PaymentAuthorised;
typedef Payment__V1__PaymentRetried PaymentRetried;
typedef Payment__V1__PaymentConfirmed PaymentConfirmed;
typedef Payment__V1__PaymentFailed PaymentFailed;
typedef Payment__V1__PaymentReturned PaymentReturned;
typedef Payment__V1__PaymentRefusedByFinance PaymentRefusedByFinance;
typedef Payment__V1__PaymentVoided PaymentVoided;
typedef Payment__V1__AccountChanged AccountChanged;
typedef Payment__V1__ClaimIssued ClaimIssued;
typedef Payment__V1__RepaymentReceived RepaymentReceived;

// Parts of messages.
typedef Allocation__V1__Posting Posting;
typedef Allocation__V1__PlannedYear PlannedYear;
typedef Allocation__V1__ProposalInput ProposalInput;
typedef Allocation__V1__ProposalInput__Candidate Candidate;
typedef Allocation__V1__ProposalLine ProposalLine;
typedef Allocation__V1__GrantLetter GrantLetter;
typedef Allocation__V1__LetterItem LetterItem;
typedef Allocation__V1__LetterLine LetterLine;
typedef Intake__V1__Content Content;
typedef Intake__V1__YearBudget YearBudget;
typedef Types__V1__CallDefinition CallDefinition;
typedef Types__V1__Text Text;

// Of an application here. The numbers are stored.
enum grant_state {
    GRANT_UNDECIDED = 0,
    GRANT_ON_RESERVE = 1,
    GRANT_REFUSED = 2,
    GRANT_AWARDED = 3,  // and no letter yet
    GRANT_OFFERED = 4,  // a letter waits for acceptance
    GRANT_MISSED = 5,   // the time to accept has passed; a person confirms that the offer lapses
    GRANT_ACCEPTED = 6,
    GRANT_DECLINED = 7,
    GRANT_LAPSED = 8,
    GRANT_RENOUNCED = 9,
};

#define EVENT_ROOM 2048  // of LIMIT_EVENT_BYTES, for what stands around an event

// -------------------------------------------------------------------------- what the rules look at

// A frame account of a call: "FRAME" of the call's own year, "FRAME:2025" of a later one.
struct frame {
    const char *name;
    int64_t residual_ore;
    uint64_t movements;  // how often it has moved; the next movement gets the next number
};

struct call {
    bool known;
    const char *id;
    const CallDefinition *definition;
    int n_frames;
    const struct frame *frames;
};

// The recommendation that stands. version 0: none.
struct recommendation {
    uint32_t version;
    uint32_t evaluation_version;
    int64_t amount_ore;
    const char *cuts;
};

// An application with everything that decisions about it look at.
struct grant {
    bool known;
    const char *id;
    struct call call;

    // What others have said about it.
    const char *organisation_number;  // the lead's
    const char *name;                 // the lead's
    bool nynorsk;                     // letters are written in nynorsk
    const Content *content;
    int64_t applied_ore;  // for the call's year
    bool withdrawn;
    bool rejected;
    uint32_t evaluation_version;  // the latest; 0: not evaluated
    struct recommendation recommendation;
    const char *handler;  // the first reader
    int n_hands;          // everyone who read or recommended any version
    const char *const *hands;
    bool actor_conflict;     // the actor declared a conflict of interest
    bool payment_under_way;  // authorised, and the bank has not said what became of it

    // What was decided here.
    enum grant_state state;
    uint32_t reserve_rank;      // 0: never on the reserve list
    const AwardDecided *award;  // NULL: none
    uint32_t letter_version;    // 0: no letter
    const GrantLetter *letter;
    const char *letter_sha256;
    int64_t accept_by_at_us;
    const AcceptancePrepared *acceptance;  // the latest; NULL: none

    // Its accounts.
    int64_t committed_ore;
    int64_t paid_ore;
    int64_t claimed_ore;
};

// What ProposeAllocation looks at.
struct round {
    bool used;  // the round's id is taken
    struct call call;
    size_t n_candidates;
    Candidate **candidates;
};

// --------------------------------------------------------------------------- proposals (propose.c)

struct proposal {
    size_t n_lines;
    ProposalLine **lines;  // in order of rank, then application id
    int64_t residual_ore;  // what it leaves
};

// Compute a proposal. Depends on the input alone, and not on the order of its candidates.
struct proposal propose(arena_t *arena, const ProposalInput *input);

// Share total among weights in whole units, largest remainders first, ties to the first; the shares sum to
// what total holds of whole units. weights are not negative and not all zero.
void apportion(arena_t *arena, int64_t total, const int64_t weights[], size_t count, int64_t unit,
               int64_t ret[]);

// ------------------------------------------------------------------------------ letters (letter.c)

// Write the letter of an award, with this moment as its date. Refused when a mandatory block is empty, naming
// it.
status_t letter_write(struct message *message, const struct grant *grant, GrantLetter *ret);

// ------------------------------------------------------------------ rules (rules.c, offer.c, ledger.c)

// Each looks, refuses or emits.
status_t rule_reserve_frame(struct message *message, const struct call *call, bool taken,
                            const ReserveFrame *command);
status_t rule_record_appropriation(struct message *message, const struct call *call,
                                   const RecordAppropriation *command);
status_t rule_propose(struct message *message, const struct round *round, const ProposeAllocation *command);
status_t rule_award(struct message *message, const struct grant *grant, const DecideAward *command);
status_t rule_refuse(struct message *message, const struct grant *grant, const DecideRefusal *command);
// holder is the application that has or had this rank; "": nobody.
status_t rule_put_on_reserve(struct message *message, const struct grant *grant, const char *holder,
                             const PutOnReserve *command);
status_t rule_issue_letter(struct message *message, const struct grant *grant, const IssueLetter *command);
status_t rule_accept(struct message *message, const struct grant *grant, const Accept *command);
status_t rule_decline(struct message *message, const struct grant *grant, const Decline *command);
status_t rule_extend(struct message *message, const struct grant *grant, const ExtendAcceptance *command);
status_t rule_miss(struct message *message, const struct grant *grant);
status_t rule_lapse(struct message *message, const struct grant *grant, const ConfirmLapse *command);
status_t rule_renounce(struct message *message, const struct grant *grant, const Renounce *command);

// Others' events: a published call gets its frame; a signature makes an acceptance count, or is disregarded;
// a withdrawal gives an award back; payments and claims move money in the ledger. POISON when money moved
// that is not there.
void rule_open_frame(struct message *message, const struct call *call);
void rule_signed_off(struct message *message, const struct grant *grant, const SignedOff *event);
void rule_withdrawn(struct message *message, const struct grant *grant, const ApplicationWithdrawn *event);
status_t rule_confirmed(struct message *message, const struct grant *grant, const PaymentConfirmed *event);
status_t rule_returned(struct message *message, const struct grant *grant, const PaymentReturned *event);
status_t rule_claimed(struct message *message, const struct grant *grant, const ClaimIssued *event);
status_t rule_repaid(struct message *message, const struct grant *grant, const RepaymentReceived *event);

// Queries. Municipal roles see their own organisation's letter.
status_t rule_show_letter(struct message *message, const struct grant *grant, Letter *ret);
void rule_recompute(struct message *message, const AllocationProposed *proposed, Recomputed *ret);

// -------------------------------------------------------------------------------- memory (store.c)

// Load what a decision looks at. A call's frames are locked first, so that one decision at a time is made
// about a call. The read_ functions do the same without locks, for queries. Unknown: known is false.
status_t store_load_call(struct message *message, const char *call_id, struct call *ret);
status_t store_load_grant(struct message *message, const char *application_id, struct grant *ret);
status_t store_read_grant(struct message *message, const char *application_id, struct grant *ret);
status_t store_load_round(struct message *message, const char *round_id, const char *call_id,
                          struct round *ret);
status_t store_load_reservation(struct message *message, const char *extra_call_id, bool *ret_taken);
status_t store_load_rank(struct message *message, const char *call_id, uint32_t rank,
                         const char **ret_holder);
// NULL when there is no such round.
status_t store_read_proposal(struct message *message, const char *round_id, AllocationProposed **ret);
status_t store_read_frame(struct message *message, const char *call_id, Frame *ret);

// Own events into own tables.
handle_f store_frame_opened, store_frame_reserved, store_appropriation, store_proposed, store_awarded,
    store_refused, store_on_reserve, store_letter, store_prepared, store_accepted, store_declined,
    store_extended, store_missed, store_lapsed, store_renounced, store_payment, store_claim, store_repayment;

// Others' events into tables of heard facts.
handle_f store_hear_organisation, store_hear_call, store_hear_submitted, store_hear_late,
    store_hear_withdrawn, store_hear_interest, store_hear_admitted, store_hear_reader, store_hear_evaluation,
    store_hear_recommendation, store_hear_returned, store_hear_rejected, store_hear_authorised,
    store_hear_retried, store_hear_failed, store_hear_refused_by_finance, store_hear_voided,
    store_hear_account, store_hear_confirmed, store_hear_sent_back;

// The service, as three tables of rows (handle.c).
extern const struct service allocation_service;
