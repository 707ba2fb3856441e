// evaluation: makes a case of each delivered application and prepares its decision: who is impartial, is it
// formally in order, who reads, what they score and why, and what is recommended. It decides nothing about
// money.
//
// Read handle.c for what happens to a message, rules.c for what is allowed, store.sql for what is remembered.
#pragma once

#include "allocation_v1.pb-c.h"
#include "evaluation_v1.pb-c.h"
#include "intake_v1.pb-c.h"
#include "limits/limits.h"
#include "service/service.h"
#include "types_v1.pb-c.h"

// What is said to evaluation.
typedef Evaluation__V1__DeclareInterest DeclareInterest;
typedef Evaluation__V1__AdmitLate AdmitLate;
typedef Evaluation__V1__RejectLate RejectLate;
typedef Evaluation__V1__AnswerFormalCheck AnswerFormalCheck;
typedef Evaluation__V1__Reject Reject;
typedef Evaluation__V1__AssignReader AssignReader;
typedef Evaluation__V1__Score Score;
typedef Evaluation__V1__CompleteEvaluation CompleteEvaluation;
typedef Evaluation__V1__Recommend Recommend;
typedef Evaluation__V1__ReturnRecommendation ReturnRecommendation;
typedef Evaluation__V1__GetCase GetCase;
typedef Evaluation__V1__ListCases ListCases;

// What it says.
typedef Evaluation__V1__CaseOpened CaseOpened;
typedef Evaluation__V1__CaseClosed CaseClosed;
typedef Evaluation__V1__InterestDeclared InterestDeclared;
typedef Evaluation__V1__LateAdmitted LateAdmitted;
typedef Evaluation__V1__FormalCheckAnswered FormalCheckAnswered;
typedef Evaluation__V1__ApplicationRejected ApplicationRejected;
typedef Evaluation__V1__ReaderAssigned ReaderAssigned;
typedef Evaluation__V1__ScoreGiven ScoreGiven;
typedef Evaluation__V1__EvaluationCompleted EvaluationCompleted;
typedef Evaluation__V1__RecommendationMade RecommendationMade;
typedef Evaluation__V1__RecommendationReturned RecommendationReturned;
typedef Evaluation__V1__Case Case;
typedef Evaluation__V1__Cases Cases;
typedef Evaluation__V1__Cases__One CasesOne;

// What it hears from others.
typedef Intake__V1__OrganisationRegistered OrganisationRegistered;
typedef Intake__V1__CallPublished CallPublished;
typedef Intake__V1__DeadlineExtended DeadlineExtended;
typedef Intake__V1__CallClosed CallClosed;
typedef Intake__V1__ApplicationSubmitted ApplicationSubmitted;
typedef Intake__V1__ApplicationSubmittedLate ApplicationSubmittedLate;
typedef Intake__V1__LateBecameTimely LateBecameTimely;
typedef Intake__V1__ApplicationWithdrawn ApplicationWithdrawn;
typedef Allocation__V1__AwardDecided AwardDecided;
typedef Allocation__V1__ApplicationRefused ApplicationRefused;

// Parts of messages.
typedef Evaluation__V1__FormalItem FormalItem;
typedef Evaluation__V1__Ground Ground;
typedef Evaluation__V1__CriterionResult CriterionResult;
typedef Intake__V1__Content Content;
typedef Types__V1__CallDefinition CallDefinition;
typedef Types__V1__Criterion Criterion;

// Of a case. The numbers are the contract's. EVALUATED may be reopened: a recommendation was returned, scores
// may change.
enum case_state {
    RECEIVED = EVALUATION__V1__CASE__STATE__RECEIVED,
    LATE_UNDECIDED = EVALUATION__V1__CASE__STATE__LATE_UNDECIDED,
    FORMALLY_CHECKED = EVALUATION__V1__CASE__STATE__FORMALLY_CHECKED,  // and found wanting
    ELIGIBLE = EVALUATION__V1__CASE__STATE__ELIGIBLE,
    EVALUATED = EVALUATION__V1__CASE__STATE__EVALUATED,
    RECOMMENDED = EVALUATION__V1__CASE__STATE__RECOMMENDED,
    REJECTED = EVALUATION__V1__CASE__STATE__REJECTED,
    CLOSED = EVALUATION__V1__CASE__STATE__CLOSED,
};

#define READER_PLACES 3     // first, second, and the one who settles a disagreement
#define FORMAL_ITEMS  5     // of FormalItem.Item
#define EVENT_ROOM    2048  // of LIMIT_EVENT_BYTES, for what stands around an event

// -------------------------------------------------------------------------- what the rules look at

// What someone has said about their own impartiality in a case.
struct interest {
    const char *person;
    bool conflict;
    const char *ground;
    ProtobufCBinaryData relation;  // its seal; empty: none was told
};

// Who reads. person is "" where nobody was assigned.
struct reader {
    const char *person;
    const char *reason;
};

struct given_score {
    const char *person;
    uint32_t place;
    const char *criterion;
    int32_t value;
    const char *reason;
};

struct case_file {
    bool known;
    const char *id;  // the application's
    const char *call_id;
    const char *organisation_number;
    enum case_state state;
    bool rejected_late;  // REJECTED because it came late, and for nothing else
    int64_t applied_ore;
    const char *checked_by;  // who answered the formal check; "": nobody yet
    uint32_t unmet;          // one bit for each FormalItem.Item that was not met
    bool reopened;           // EVALUATED, and scores may change
    uint32_t evaluation_version;
    uint32_t recommendation_version;
    const char *recommended_by;  // of the latest recommendation
    bool decided;                // allocation has awarded or refused it
    bool nynorsk;                // letters are written in nynorsk

    const CallDefinition *call;
    bool call_closed;

    int n_interests;
    const struct interest *interests;
    struct reader readers[READER_PLACES];  // [place - 1]
    int n_scores;
    const struct given_score *scores;
};

// --------------------------------------------------------------------------------- rules (rules.c)

// Each looks, refuses or emits. All but rule_declare first ask that the actor has declared no conflict.
status_t rule_declare(struct message *message, const struct case_file *file, const DeclareInterest *command);
status_t rule_admit_late(struct message *message, const struct case_file *file, const AdmitLate *command);
status_t rule_reject_late(struct message *message, const struct case_file *file, const RejectLate *command);
status_t rule_check(struct message *message, const struct case_file *file, const AnswerFormalCheck *command);
status_t rule_reject(struct message *message, const struct case_file *file, const Reject *command);
status_t rule_assign(struct message *message, const struct case_file *file, const AssignReader *command);
status_t rule_score(struct message *message, const struct case_file *file, const Score *command);
status_t rule_complete(struct message *message, const struct case_file *file,
                       const CompleteEvaluation *command);
status_t rule_recommend(struct message *message, const struct case_file *file, const Recommend *command);
status_t rule_return(struct message *message, const struct case_file *file,
                     const ReturnRecommendation *command);

// Others' events: a delivered application opens a case, once; an extension for all makes a late one timely; a
// withdrawn application's case is closed.
void rule_open(struct message *message, const struct case_file *file, const ApplicationSubmitted *event,
               bool late);
void rule_became_timely(struct message *message, const struct case_file *file);
void rule_withdrawn(struct message *message, const struct case_file *file, const ApplicationWithdrawn *event);

// May the actor see the case at all? An auditor may; others as for commands, and not before the call has
// closed.
status_t rule_see(struct message *message, const struct case_file *file);
// May the actor see this score? Own ones always; others' when one's own are all in, or when the evaluation is
// complete.
bool rule_sees_score(const struct message *message, const struct case_file *file,
                     const struct given_score *score);

// -------------------------------------------------------------------------------- memory (store.c)

// Load the case with everything around it, its row locked until the transaction ends. Unknown: file->known is
// false.
status_t store_load_case(struct message *message, const char *application_id, struct case_file *ret);
// The same without the lock, for queries.
status_t store_read_case(struct message *message, const char *application_id, struct case_file *ret);
// The application's content as delivered; NULL when there is none.
status_t store_load_content(struct message *message, const char *application_id, Content **ret);
status_t store_list_cases(struct message *message, const char *call_id, Cases *ret);

// Own events into own tables.
handle_f store_case_opened, store_case_closed, store_interest_declared, store_late_admitted,
    store_check_answered, store_rejected, store_reader_assigned, store_score_given, store_completed,
    store_recommended, store_returned;

// Others' events into tables of heard facts.
handle_f store_hear_organisation, store_hear_call, store_hear_extension, store_hear_closed,
    store_hear_submitted, store_hear_late, store_hear_award, store_hear_refusal;

// The service, as three tables of rows (handle.c).
extern const struct service evaluation_service;
