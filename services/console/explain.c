// explain: what led to a decision or an amount, in sentences that an auditor understands; and what can be
// computed again from the log, computed again.
#include "explain.h"

#include "console.h"
#include "document.h"
#include "table.h"
#include "walk.h"

#include "allocation_v1.pb-c.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ROUNDS_MAX 64
#define PEOPLE_MAX 256

// --------------------------------------------------------------------------------------------------- the words

static const struct {
    const char *role, *words;
} roles[] = {
    {"EDITOR", "editor at the municipality"},
    {"APPROVER", "who signs for the municipality"},
    {"PROJECT_OWNER", "project owner at the municipality"},
    {"SUPERIOR_LEADER", "superior leader at the municipality"},
    {"CASE_OFFICER", "case officer"},
    {"READER", "reader"},
    {"UNIT_HEAD", "head of unit"},
    {"BUDGET_HOLDER", "budget holder"},
    {"PAYMENT_OFFICER", "payment officer"},
    {"ATTESTANT", "attestant"},
    {"AUTHORISER", "authoriser"},
    {"CLOCK", "the calendar"},
    {"SERVICE", "the system, by rule"},
};

// What each event means to a person. {path} is a field of the event. evidence is the field with the hash of what was
// signed, decided or sent. Events that say nothing on a decision or an amount have no row.
static const struct saying {
    const char *type, *sentence, *evidence;
} sayings[] = {
    {"intake.v1.CallPublished",
     "published the call {call_id}: {definition.frame_ore} under chapter and post {definition.chapter_post}, "
     "to "
     "be applied for before {definition.deadline_at_us}, by the rules of {definition.rule_document}",
     "definition.rule_document_sha256"},
    {"intake.v1.DeadlineExtended", "gave everyone until {deadline_at_us}: {reason}", NULL},
    {"intake.v1.ApplicationDrafted", "began the application of {name} ({organisation_number})", NULL},
    {"intake.v1.ParticipationConfirmed", "confirmed that {organisation_number} takes part with {own_ore}",
     NULL},
    {"intake.v1.ApprovalRequested",
     "froze version {content_version}, which applies for {applied_ore}, and asked for the signature",
     "content_sha256"},
    {"intake.v1.ApprovalReturned", "sent it back to be edited: {note}", NULL},
    {"intake.v1.ApplicationSubmitted",
     "recorded the delivery: version {content_version}, {applied_ore}, signed by {signed_by} {signed_at_us}, "
     "and the deadline it is held against is {deadline_at_us}",
     "content_sha256"},
    {"intake.v1.ApplicationSubmittedLate",
     "recorded a delivery after the deadline: signed by {submission.signed_by} {submission.signed_at_us}, "
     "the "
     "deadline was {submission.deadline_at_us}",
     "submission.content_sha256"},
    {"intake.v1.LateBecameTimely", "let it count as delivered in time, by the deadline {deadline_at_us}",
     NULL},
    {"intake.v1.ApplicationWithdrawn", "withdrew the application: {reason}", NULL},
    {"intake.v1.DraftExpired", "let the draft expire: it was not delivered", NULL},
    {"approval.v1.SignedOff", "signed version {version} ({kind})", "content_sha256"},
    {"approval.v1.SignatureGiven", "gave the first of two signatures on version {version} ({kind})", NULL},
    {"approval.v1.SignOffReturned", "sent version {version} back: {note}", NULL},
    {"evaluation.v1.InterestDeclared",
     "declared before seeing the case; a conflict of interest: {conflict} {ground}", NULL},
    {"evaluation.v1.LateAdmitted", "admitted the late application: {reason}", NULL},
    {"evaluation.v1.FormalCheckAnswered", "answered the formal check; every item met: {passed}", NULL},
    {"evaluation.v1.ApplicationRejected", "rejected it without assessing its content ({ground}): {reason}",
     NULL},
    {"evaluation.v1.ReaderAssigned", "made {person} reader number {place} {reason}", NULL},
    {"evaluation.v1.ScoreGiven", "scored criterion {criterion} with {value}: {reason}", NULL},
    {"evaluation.v1.EvaluationCompleted",
     "completed evaluation {evaluation_version}: {total} points in all, read by {readers}: {reason}", NULL},
    {"evaluation.v1.RecommendationMade",
     "recommended {amount_ore} of the {applied_ore} applied for, on evaluation {evaluation_version}: "
     "{reason} "
     "{cuts}",
     NULL},
    {"evaluation.v1.RecommendationReturned", "returned the recommendation: {note}", NULL},
    {"allocation.v1.AllocationProposed",
     "had the allocation computed over {input.frame_ore} by method {input.method}, leaving {residual_ore}",
     "input_sha256"},
    {"allocation.v1.AwardDecided",
     "DECIDED: awarded {amount_ore} of the {applied_ore} applied for, for {year}, on evaluation "
     "{evaluation_version}: {reason}",
     NULL},
    {"allocation.v1.ApplicationRefused",
     "DECIDED: refused it after assessment ({ground}). Rules: {rules} Facts: {facts} Considerations: "
     "{considerations}",
     NULL},
    {"allocation.v1.PlacedOnReserve", "put it on the reserve list as number {rank}: {reason}", NULL},
    {"allocation.v1.GrantLetterIssued",
     "issued letter version {letter.letter_version} over {letter.amount_ore}, to be accepted before "
     "{letter.accept_by_at_us}",
     "letter_sha256"},
    {"allocation.v1.GrantAccepted",
     "recorded that {signed_by} accepted {amount_ore}, to account {account_number}", NULL},
    {"allocation.v1.AcceptanceDisregarded", "disregarded an acceptance: {reason}", NULL},
    {"allocation.v1.GrantDeclined", "declined the grant: {reason}", NULL},
    {"allocation.v1.AcceptanceExtended", "gave until {accept_by_at_us} to accept: {reason}", NULL},
    {"allocation.v1.AcceptanceMissed", "noted that it was not accepted before {accept_by_at_us}", NULL},
    {"allocation.v1.GrantLapsed",
     "confirmed that the offer lapsed, so that the money is back in the frame: {reason}", NULL},
    {"allocation.v1.GrantRenounced", "gave up the grant: {reason}", NULL},
    {"payment.v1.PaymentPrepared", "prepared the payment, coded {coding}, value date {value_date}",
     "content_sha256"},
    {"payment.v1.PaymentDisposed", "disposed of the payment", "content_sha256"},
    {"payment.v1.PaymentAttested", "attested the payment", "content_sha256"},
    {"payment.v1.PaymentAuthorised", "released the payment under end-to-end id {end_to_end_id}", NULL},
    {"payment.v1.PaymentFailed", "told that the bank rejected the payment: {code} {text}", NULL},
    {"payment.v1.AccountChanged", "changed the account to {account_number}: {reason}", NULL},
    {"payment.v1.PaymentConfirmed", "told that the bank has paid {amount_ore}", NULL},
    {"payment.v1.PaymentReturned", "told that {amount_ore} came back from the bank: {code}", NULL},
    {"payment.v1.PaymentStopped", "stopped the payment: {reason}", NULL},
    {"payment.v1.PaymentVoided", "let the payment fall: {reason}", NULL},
    {"reporting.v1.ReportPrepared",
     "froze report and accounts version {report_version}: costs {cost_ore}, unspent {unspent_ore}",
     "report_sha256"},
    {"reporting.v1.ReportDelivered", "recorded the report as delivered, signed by {signed_by}; late: {late}",
     NULL},
    {"reporting.v1.ReportReturned", "returned the report: {faults}", NULL},
    {"reporting.v1.ReportApproved", "approved the accounts: costs {cost_ore}, unspent {unspent_ore}", NULL},
    {"reporting.v1.RepaymentDecided", "DECIDED: {amount_ore} is to be repaid before {due_at_us}: {reason}",
     NULL},
    {"payment.v1.ClaimIssued", "claimed back {amount_ore}, due before {due_at_us}, KID {kid}", NULL},
    {"payment.v1.RepaymentReceived", "recorded a repayment of {amount_ore}; {outstanding_ore} outstanding",
     NULL},
    {"reporting.v1.GrantClosed", "closed the case", NULL},
};

static const struct saying *saying_of(const char *type)
{
    for (size_t i = 0; i < sizeof sayings / sizeof sayings[0]; i++)
        if (strcmp(sayings[i].type, type) == 0)
            return &sayings[i];
    return NULL;
}

static const char *role_words(const char *role)
{
    for (size_t i = 0; i < sizeof roles / sizeof roles[0]; i++)
        if (strcmp(roles[i].role, role) == 0)
            return roles[i].words;
    return role;
}

static bool ends_with(const char *text, const char *end)
{
    size_t length = strlen(text), tail = strlen(end);

    return length >= tail && strcmp(text + length - tail, end) == 0;
}

// A value as people read it; what it is stands in its name (types_v1.proto).
static const char *value_text(arena_t *arena, const json_t *data, const char *path)
{
    const json_t *value = data_find(data, path), *one;
    const char *text = "";
    size_t index;

    if (ends_with(path, "_ore"))
        return money_text(arena, data_number(data, path));
    if (ends_with(path, "_at_us"))
        return oslo_text(arena, data_number(data, path));
    if (ends_with(path, "total"))
        return arena_printf(arena, "%lld,%02lld", (long long)data_number(data, path) / 100,
                            (long long)data_number(data, path) % 100);
    if (json_is_boolean(value))
        return json_is_true(value) ? "yes" : "no";
    if (json_is_integer(value))
        return arena_printf(arena, "%lld", (long long)json_integer_value(value));
    json_array_foreach(value, index, one)
        text = arena_printf(arena, "%s%s%s", text, index > 0 ? ", " : "", json_string_value(one));
    return json_is_string(value) ? json_string_value(value) : text;
}

static const char *say(arena_t *arena, const char *sentence, const json_t *data)
{
    const char *said = "";

    while (*sentence != '\0') {
        size_t plain = strcspn(sentence, "{"), named = strcspn(sentence + plain, "}");
        said = arena_printf(arena, "%s%.*s", said, (int)plain, sentence);
        sentence += plain;
        if (*sentence == '{') {
            const char *path = arena_printf(arena, "%.*s", (int)named - 1, sentence + 1);
            said = arena_printf(arena, "%s%s", said, value_text(arena, data, path));
            sentence += named + 1;
        }
    }
    // One line: prose may have line feeds and end in a full stop of its own.
    char *line = arena_text(arena, said), *end = line + strlen(line);
    while (end > line && strchr(" :.\n\t", end[-1]) != NULL)
        *--end = '\0';
    for (char *c = line; *c != '\0'; c++)
        if (*c == '\n' || *c == '\t')
            *c = ' ';
    return line;
}

bool explain_says(const char *type)
{
    return saying_of(type) != NULL;
}

const char *explain_sentence(arena_t *arena, const char *type, const json_t *data)
{
    const struct saying *saying = saying_of(type);

    return saying != NULL ? say(arena, saying->sentence, data) : NULL;
}

// ------------------------------------------------------------------------------------------------------ what is

struct explanation {
    struct console *console;
    const char *application_id, *call_id;  // call_id "" until it is known
    json_t *events, *people, *checks;
    const char *rounds[ROUNDS_MAX];  // whose lines name the application
    int64_t round_ore[ROUNDS_MAX];
    size_t n_rounds;
    size_t differing;  // checks that failed
    int64_t awarded_ore;
    bool awarded;
};

static void add_check(struct explanation *at, bool equal, const char *sentence)
{
    json_array_append_new(at->checks, json_pack("{s:b, s:s}", "equal", (int)equal, "sentence", sentence));
    at->differing += !equal;
}

static int find_call(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                     const Eventlog__V1__Event *event)
{
    struct explanation *at = context;

    (void)entry;
    if (at->call_id[0] != '\0' || strcmp(event->subject, at->application_id) != 0)
        return EXIT_DONE;
    json_t *data = contract_json(console, event);
    at->call_id = arena_text(console->ground, data_text(data, "call_id"));
    json_decref(data);
    return EXIT_DONE;
}

// Who did what, in which role; each pair once.
static void add_person(struct explanation *at, const char *person, const char *role, const char *type)
{
    const char *did = strrchr(type, '.') != NULL ? strrchr(type, '.') + 1 : type;
    json_t *one, *deeds = NULL, *deed;
    size_t index;

    json_array_foreach(at->people, index, one) if (strcmp(data_text(one, "person"), person) == 0 &&
                                                   strcmp(data_text(one, "role"), role) == 0)
        deeds = json_object_get(one, "did");
    if (deeds == NULL) {
        if (json_array_size(at->people) == PEOPLE_MAX)
            return;
        deeds = json_array();
        json_array_append_new(at->people,
                              json_pack("{s:s, s:s, s:o}", "person", person, "role", role, "did", deeds));
    }
    json_array_foreach(deeds, index, deed) if (strcmp(json_string_value(deed), did) == 0) return;
    json_array_append_new(deeds, json_string(did));
}

// ------------------------------------------------------------------------------------ what can be computed again

// The hash over the document's canonical bytes, beside the hash that was signed or stored.
static void check_document(struct explanation *at, const Eventlog__V1__Event *event, uint64_t position)
{
    arena_t *arena = at->console->arena;
    struct document document;

    if (!document_of(&at->console->message, event, &document))
        return;
    bool equal = strcmp(document.computed, document.said) == 0;
    add_check(at, equal,
              arena_printf(arena, "%s at position %llu has the hash %s, computed again: %s", document.words,
                           (unsigned long long)position, document.said, equal ? "equal" : document.computed));
}

// The total is the sum of weight times settled score.
static void check_total(struct explanation *at, const json_t *data, uint64_t position)
{
    arena_t *arena = at->console->arena;
    int64_t total = data_number(data, "total"), sum = 0;
    const char *terms = "";
    const json_t *one;
    size_t index;

    json_array_foreach(json_object_get(data, "results"), index, one)
    {
        int64_t weight = data_number(one, "weight"), hundredths = data_number(one, "hundredths");
        sum += weight * hundredths;
        terms = arena_printf(arena, "%s%s%lld × %lld,%02lld (%s)", terms, index > 0 ? " + " : "",
                             (long long)weight, (long long)hundredths / 100, (long long)hundredths % 100,
                             data_text(one, "criterion"));
    }
    add_check(at, sum == total,
              arena_printf(
                  arena, "the total of evaluation %lld at position %llu, %s, added up again: %lld,%02lld, %s",
                  (long long)data_number(data, "evaluation_version"), (unsigned long long)position, terms,
                  (long long)sum / 100, (long long)sum % 100, sum == total ? "equal" : "not equal"));
}

// Nobody who read or recommended decides.
static void check_hands(struct explanation *at, const json_t *data, uint64_t position)
{
    arena_t *arena = at->console->arena;
    const char *decider = data_text(data, "decided_by");
    bool apart = true;
    const json_t *one;
    size_t index;

    json_array_foreach(json_object_get(data, "prepared_by"), index,
                       one) if (strcmp(json_string_value(one), decider) == 0) apart = false;
    add_check(at, apart,
              arena_printf(arena,
                           "the decision at position %llu is %s's, and the case was prepared by %s: %s",
                           (unsigned long long)position, decider, value_text(arena, data, "prepared_by"),
                           apart ? "different people" : "THE SAME PERSON"));
}

static void note_round(struct explanation *at, const json_t *data)
{
    const json_t *line;
    size_t index;

    json_array_foreach(json_object_get(data, "lines"), index, line)
    {
        if (strcmp(data_text(line, "application_id"), at->application_id) != 0 || at->n_rounds == ROUNDS_MAX)
            continue;
        at->round_ore[at->n_rounds] = data_number(line, "amount_ore");
        at->rounds[at->n_rounds++] = arena_text(at->console->ground, data_text(data, "round_id"));
    }
}

// ------------------------------------------------------------------------------------------------------ the walk

static void add_event(struct explanation *at, const Eventlog__V1__Entry *entry,
                      const Eventlog__V1__Event *event, const struct saying *saying, const json_t *data)
{
    arena_t *arena = at->console->arena;
    const ProtobufCEnumValue *value = event->actor != NULL
                                          ? protobuf_c_enum_descriptor_get_value(
                                                &bus__v1__actor__role__descriptor, event->actor->role)
                                          : NULL;
    const char *role = value != NULL ? value->name : "",
               *who = event->actor != NULL ? event->actor->subject : "";

    add_person(at, who, role, event->type);
    json_array_append_new(
        at->events,
        json_pack("{s:I, s:s, s:s, s:I, s:s, s:s, s:s, s:s, s:s}", "position", (json_int_t)entry->position,
                  "id", event->id, "type", event->type, "at_us", (json_int_t)event->time_us, "by", who,
                  "role", role, "rule_set", event->rule_set, "sentence", say(arena, saying->sentence, data),
                  "evidence", saying->evidence != NULL ? data_text(data, saying->evidence) : ""));
}

static bool concerns(const struct explanation *at, const Eventlog__V1__Event *event, const json_t *data)
{
    if (strcmp(event->subject, at->application_id) == 0)
        return true;
    if (strcmp(data_text(data, "call_id"), at->call_id) != 0)
        return false;
    if (strcmp(event->type, "allocation.v1.AllocationProposed") != 0)
        return strncmp(event->type, "intake.", strlen("intake.")) == 0 &&
               data_text(data, "application_id")[0] == '\0';
    const json_t *line;
    size_t index;
    json_array_foreach(json_object_get(data, "lines"), index,
                       line) if (strcmp(data_text(line, "application_id"), at->application_id) ==
                                 0) return true;
    return false;
}

static int look(void *context, struct console *console, const Eventlog__V1__Entry *entry,
                const Eventlog__V1__Event *event)
{
    struct explanation *at = context;
    const struct saying *saying = saying_of(event->type);
    bool of_call = strcmp(event->type, "allocation.v1.AllocationProposed") == 0 ||
                   strcmp(event->type, "intake.v1.CallPublished") == 0 ||
                   strcmp(event->type, "intake.v1.DeadlineExtended") == 0;

    if (saying == NULL || (!of_call && strcmp(event->subject, at->application_id) != 0))
        return EXIT_DONE;
    json_t *data = contract_json(console, event);
    if (concerns(at, event, data)) {
        add_event(at, entry, event, saying, data);
        check_document(at, event, entry->position);
        if (strcmp(event->type, "allocation.v1.AllocationProposed") == 0)
            note_round(at, data);
        if (strcmp(event->type, "evaluation.v1.EvaluationCompleted") == 0)
            check_total(at, data, entry->position);
        if (strcmp(event->type, "allocation.v1.AwardDecided") == 0 ||
            strcmp(event->type, "allocation.v1.ApplicationRefused") == 0)
            check_hands(at, data, entry->position);
        if (strcmp(event->type, "allocation.v1.AwardDecided") == 0) {
            at->awarded = true;
            at->awarded_ore = data_number(data, "amount_ore");
        }
    }
    json_decref(data);
    return EXIT_DONE;
}

// Allocation computes each proposal again from its recorded input, by the rules it has now.
static int recompute(struct explanation *at)
{
    struct console *console = at->console;
    Allocation__V1__RecomputeProposal request = ALLOCATION__V1__RECOMPUTE_PROPOSAL__INIT;
    Allocation__V1__Recomputed *answer;
    int code = EXIT_DONE;

    for (size_t i = 0; code == EXIT_DONE && i < at->n_rounds; i++) {
        request.round_id = (char *)at->rounds[i];
        code = query(console, &request, &allocation__v1__recomputed__descriptor, &answer);
        if (code != EXIT_DONE)
            break;
        int64_t ore = -1;
        for (size_t k = 0; k < answer->n_lines; k++)
            if (strcmp(answer->lines[k]->application_id, at->application_id) == 0)
                ore = answer->lines[k]->amount_ore;
        bool equal = answer->equal && ore == at->round_ore[i];
        add_check(
            at, equal,
            arena_printf(console->arena,
                         "proposal %s, which gave this case %s, computed again from its recorded input: %s",
                         at->rounds[i], money_text(console->arena, at->round_ore[i]),
                         equal ? "equal" : "not equal"));
    }
    return code;
}

// -------------------------------------------------------------------------------------------------------- telling

static void print_people(const struct explanation *at)
{
    static const struct column columns[] = {
        {"person", false}, {"role", false}, {"did", false}, {NULL, false}};
    arena_t *arena = at->console->ground;
    table_t *table = table_new(arena, columns);
    const json_t *one;
    size_t index;

    json_array_foreach(at->people, index, one)
        table_row(table, (const char *[]){data_text(one, "person"), role_words(data_text(one, "role")),
                                          value_text(arena, one, "did")});
    printf("\nWho took part, and in which role\n\n");
    table_print(table, stdout);
}

static void print_events(const struct explanation *at)
{
    arena_t *arena = at->console->ground;
    const json_t *one;
    size_t index;

    json_array_foreach(at->events, index, one)
    {
        const char *evidence = data_text(one, "evidence"), *role = role_words(data_text(one, "role"));
        printf("%s: %s (%s) %s. [position %lld, rule set %s%s%s]\n",
               moment_text(arena, data_number(one, "at_us")), data_text(one, "by"), role,
               data_text(one, "sentence"), (long long)data_number(one, "position"),
               data_text(one, "rule_set"), evidence[0] != '\0' ? ", SHA-256 " : "", evidence);
    }
}

static void print_checks(const struct explanation *at)
{
    const json_t *one;
    size_t index;

    printf("\nComputed again\n\n");
    json_array_foreach(at->checks, index, one) printf(
        "%s %s\n", json_is_true(json_object_get(one, "equal")) ? "  " : "! ", data_text(one, "sentence"));
    for (size_t i = at->n_rounds; at->awarded && i > 0; i = 0)
        printf("   the award of %s is %s what the last proposal gave, %s\n",
               money_text(at->console->ground, at->awarded_ore),
               at->awarded_ore == at->round_ore[i - 1] ? "exactly" : "not",
               money_text(at->console->ground, at->round_ore[i - 1]));
}

static int tell(struct explanation *at)
{
    if (at->console->json) {
        json_t *output = json_pack("{s:s, s:s, s:O, s:O, s:O}", "application_id", at->application_id,
                                   "call_id", at->call_id, "events", at->events, "people", at->people,
                                   "checks", at->checks);
        json_dumpf(output, stdout, JSON_INDENT(1));
        putchar('\n');
        json_decref(output);
    } else {
        printf("%s to %s\n\n", at->application_id, at->call_id);
        print_events(at);
        print_people(at);
        print_checks(at);
    }
    if (at->differing == 0)
        return EXIT_DONE;
    return fault(EXIT_DIFFERENT, "%zu of %zu things that were computed again are not equal", at->differing,
                 json_array_size(at->checks));
}

static int explain(struct explanation *at)
{
    struct console *console = at->console;
    const Eventlog__V1__Head *head;

    int code = read_head(console, &head);
    if (code != EXIT_DONE)
        return code;
    uint64_t to = head->position;
    code = log_walk(console, 0, to, "looking for the case", find_call, at);
    if (code == EXIT_DONE && at->call_id[0] == '\0')
        return fault(EXIT_REFUSED, "the log knows no application %s", at->application_id);
    if (code == EXIT_DONE)
        code = log_walk(console, 0, to, "reading the case", look, at);
    if (code == EXIT_DONE)
        code = recompute(at);
    return code == EXIT_DONE ? tell(at) : code;
}

int run_explain(struct console *console)
{
    struct explanation *at = arena_alloc(console->ground, sizeof *at);

    *at = (struct explanation){.console = console,
                               .application_id = console->arguments[0],
                               .call_id = "",
                               .events = json_array(),
                               .people = json_array(),
                               .checks = json_array()};
    int code = explain(at);
    json_decref(at->events);
    json_decref(at->people);
    json_decref(at->checks);
    return code;
}
