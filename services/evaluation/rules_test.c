// What is allowed with a case: given, when, then. Every refusal once.
#include "check/check.h"
#include "evaluation.h"

#include <string.h>

#define KR INT64_C(100)

// ------------------------------------------------------------------------------------- given

static Types__V1__Text no_appeal = {.nb = "Kan ikke påklages.", .nn = "Kan ikkje klagast på."};
static Criterion purpose = {.id = "F", .lowest = 0, .highest = 6, .weight = 2};
static Criterion transfer = {.id = "O", .lowest = 0, .highest = 6, .weight = 1, .tie_order = 1};
static Criterion *criteria[] = {&purpose, &transfer};
static CallDefinition call = {.n_criteria = 2,
                              .criteria = criteria,
                              .max_disagreement = 1,
                              .granularity_ore = 1000 * KR,
                              .no_appeal = &no_appeal};

static const struct interest everyone[] = {
    {"first", false}, {"second", false},  {"third", false},     {"fourth", false},
    {"head", false},  {"officer", false}, {"conflicted", true},
};

static struct case_file a_case(enum case_state state)
{
    return (struct case_file){
        .known = true,
        .id = "a-1",
        .call_id = "c-1",
        .organisation_number = "974683520",
        .state = state,
        .applied_ore = 400000 * KR,
        .checked_by = "",
        .recommended_by = "",
        .call = &call,
        .call_closed = true,
        .interests = everyone,
        .n_interests = 7,
        .readers = {{"first", ""}, {"second", ""}, {"", ""}},
    };
}

static const struct given_score both_scored[] = {
    {"first", 1, "F", 5, "god"},
    {"second", 2, "F", 4, "nokså god"},
    {"first", 1, "O", 3, "noe"},
    {"second", 2, "O", 3, "noe"},
};

static struct case_file a_scored_case(void)
{
    struct case_file file = a_case(ELIGIBLE);
    file.scores = both_scored;
    file.n_scores = 4;
    return file;
}

static struct case_file a_wanting_case(void)
{
    struct case_file file = a_case(FORMALLY_CHECKED);
    file.checked_by = "officer";
    file.unmet = 1u << EVALUATION__V1__FORMAL_ITEM__ITEM__RIGHT_AREA;
    return file;
}

static struct message by(const char *person, Bus__V1__Actor__Role role)
{
    return check_message(1, person, role, "");
}
#define BY(person, role) by(person, BUS__V1__ACTOR__ROLE__##role)

// A text longer than any field may be.
static char *too_long(struct message *message, size_t most)
{
    char *text = arena_alloc(message->arena, most + 2);
    memset(text, 'x', most + 1);
    return text;
}

// ------------------------------------------------------------------------------------ impartiality

static DeclareInterest a_declaration(bool conflict)
{
    DeclareInterest command = EVALUATION__V1__DECLARE_INTEREST__INIT;
    command.application_id = "a-1";
    command.conflict = conflict;
    command.ground = conflict ? "fvl. § 6, tidligere arbeidsgiver" : "";
    return command;
}

static void a_declaration_names_the_person_who_made_it(void **state)
{
    (void)state;
    struct message message = BY("new", READER);  // given
    struct case_file file = a_case(RECEIVED);
    DeclareInterest command = a_declaration(true);
    assert_int_equal(OK, rule_declare(&message, &file, &command));  // when
    const InterestDeclared *event =                                 // then
        check_emitted(&message, 1, 0, &evaluation__v1__interest_declared__descriptor);
    assert_string_equal("new", event->person);
    assert_true(event->conflict);
}

static void a_conflict_needs_its_ground(void **state)
{
    (void)state;
    struct message message = BY("new", READER);
    struct case_file file = a_case(RECEIVED);
    DeclareInterest command = a_declaration(true);
    command.ground = " ";
    check_refused(&message, rule_declare(&message, &file, &command), "ground is missing");
}

static void a_ground_is_a_line(void **state)
{
    (void)state;
    struct message message = BY("new", READER);
    struct case_file file = a_case(RECEIVED);
    DeclareInterest command = a_declaration(true);
    command.ground = too_long(&message, LIMIT_LINE_BYTES);
    check_refused(&message, rule_declare(&message, &file, &command),
                  "ground of application a-1 is 501 bytes long");
}

static void a_relation_is_a_line_and_is_not_quoted(void **state)
{
    (void)state;
    struct message message = BY("new", READER);
    struct case_file file = a_case(RECEIVED);
    DeclareInterest command = a_declaration(true);
    Types__V1__Private relation = TYPES__V1__PRIVATE__INIT;
    command.relation = &relation;
    relation.text = too_long(&message, LIMIT_LINE_BYTES);
    check_refused(&message, rule_declare(&message, &file, &command),
                  "relation of application a-1 is 501 bytes long");
}

static void a_conflict_can_not_be_taken_back(void **state)
{
    (void)state;
    struct message message = BY("conflicted", READER);
    struct case_file file = a_case(RECEIVED);
    DeclareInterest command = a_declaration(false);
    check_refused(&message, rule_declare(&message, &file, &command), "stands for good");
}

static void declaring_the_same_twice_changes_nothing(void **state)
{
    (void)state;
    struct message message = BY("first", READER);
    struct case_file file = a_case(RECEIVED);
    DeclareInterest command = a_declaration(false);
    assert_int_equal(OK, rule_declare(&message, &file, &command));
    assert_null(message.emitted);
}

static void a_conflict_may_be_found_later(void **state)
{
    (void)state;
    struct message message = BY("first", READER);
    struct case_file file = a_case(ELIGIBLE);
    DeclareInterest command = a_declaration(true);
    assert_int_equal(OK, rule_declare(&message, &file, &command));
    check_emitted(&message, 1, 0, &evaluation__v1__interest_declared__descriptor);
}

static void nothing_is_declared_in_what_is_over(void **state)
{
    (void)state;
    struct message message = BY("new", READER);
    struct case_file file = a_case(CLOSED);
    DeclareInterest command = a_declaration(false);
    check_refused(&message, rule_declare(&message, &file, &command), "application a-1 is withdrawn");
}

static void an_unknown_application_is_refused(void **state)
{
    (void)state;
    struct message message = BY("new", READER);
    struct case_file file = {.id = "a-9"};
    DeclareInterest command = a_declaration(false);
    check_refused(&message, rule_declare(&message, &file, &command),
                  "a-9 is not the id of a delivered application");
}

// Every rule but the declaration asks the same first; one of each kind stands for them all in this table.
typedef status_t probe_f(struct message *message, const struct case_file *file);

static status_t probe_admit(struct message *message, const struct case_file *file)
{
    AdmitLate command = EVALUATION__V1__ADMIT_LATE__INIT;
    return rule_admit_late(message, file, &command);
}
static status_t probe_reject_late(struct message *message, const struct case_file *file)
{
    RejectLate command = EVALUATION__V1__REJECT_LATE__INIT;
    return rule_reject_late(message, file, &command);
}
static status_t probe_check(struct message *message, const struct case_file *file)
{
    AnswerFormalCheck command = EVALUATION__V1__ANSWER_FORMAL_CHECK__INIT;
    return rule_check(message, file, &command);
}
static status_t probe_reject(struct message *message, const struct case_file *file)
{
    Reject command = EVALUATION__V1__REJECT__INIT;
    return rule_reject(message, file, &command);
}
static status_t probe_assign(struct message *message, const struct case_file *file)
{
    AssignReader command = EVALUATION__V1__ASSIGN_READER__INIT;
    return rule_assign(message, file, &command);
}
static status_t probe_score(struct message *message, const struct case_file *file)
{
    Score command = EVALUATION__V1__SCORE__INIT;
    return rule_score(message, file, &command);
}
static status_t probe_complete(struct message *message, const struct case_file *file)
{
    CompleteEvaluation command = EVALUATION__V1__COMPLETE_EVALUATION__INIT;
    return rule_complete(message, file, &command);
}
static status_t probe_recommend(struct message *message, const struct case_file *file)
{
    Recommend command = EVALUATION__V1__RECOMMEND__INIT;
    return rule_recommend(message, file, &command);
}
static status_t probe_return(struct message *message, const struct case_file *file)
{
    ReturnRecommendation command = EVALUATION__V1__RETURN_RECOMMENDATION__INIT;
    return rule_return(message, file, &command);
}

// What each rule needs, and how it says that a case in another state can not be that.
static const struct {
    probe_f *probe;
    const char *what;
} probes[] = {
    {probe_admit, "can not be admitted"},     {probe_reject_late, "can not be rejected as late"},
    {probe_check, "can not be checked"},      {probe_reject, "can not be rejected"},
    {probe_assign, "can not be given"},       {probe_score, "can not be scored"},
    {probe_complete, "can not be completed"}, {probe_recommend, "can not be recommended"},
    {probe_return, "can not be returned"},    {rule_see, NULL},
};
#define N_PROBES (sizeof probes / sizeof *probes)

static void nobody_acts_or_sees_before_declaring(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROBES; i++) {
        struct message message = BY("stranger", UNIT_HEAD);
        struct case_file file = a_case(RECEIVED);
        check_refused(&message, probes[i].probe(&message, &file),
                      "declare your interest in application a-1 before you open it");
    }
}

static void nobody_acts_or_sees_with_a_conflict(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROBES; i++) {
        struct message message = BY("conflicted", UNIT_HEAD);
        struct case_file file = a_case(RECEIVED);
        check_refused(&message, probes[i].probe(&message, &file), "you declared a conflict of interest");
    }
}

static void what_is_withdrawn_stays_as_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROBES && probes[i].what; i++) {
        struct message message = BY("first", UNIT_HEAD);
        struct case_file file = a_case(CLOSED);
        check_refused(&message, probes[i].probe(&message, &file), probes[i].what);
    }
}

static void what_allocation_has_decided_stays_as_it_is(void **state)
{
    (void)state;
    for (size_t i = 0; i < N_PROBES && probes[i].what; i++) {
        struct message message = BY("first", UNIT_HEAD);
        struct case_file file = a_case(RECOMMENDED);
        file.decided = true;
        check_refused(&message, probes[i].probe(&message, &file), "application a-1 is decided");
    }
}

// ------------------------------------------------------------------------------- late applications

static void a_head_admits_a_late_application_with_a_reason(void **state)
{
    (void)state;
    struct message message = BY("head", UNIT_HEAD);
    struct case_file file = a_case(LATE_UNDECIDED);
    AdmitLate command = EVALUATION__V1__ADMIT_LATE__INIT;
    command.application_id = "a-1";
    command.code = EVALUATION__V1__LATE_REASON__FORCE_MAJEURE;
    command.reason = "storm";
    assert_int_equal(OK, rule_admit_late(&message, &file, &command));
    const LateAdmitted *event = check_emitted(&message, 1, 0, &evaluation__v1__late_admitted__descriptor);
    assert_int_equal(EVALUATION__V1__LATE_REASON__FORCE_MAJEURE, event->code);
}

static void admitting_needs_a_code(void **state)
{
    (void)state;
    struct message message = BY("head", UNIT_HEAD);
    struct case_file file = a_case(LATE_UNDECIDED);
    AdmitLate command = EVALUATION__V1__ADMIT_LATE__INIT;
    command.reason = "storm";
    check_refused(&message, rule_admit_late(&message, &file, &command), "code is missing");
}

static void rejecting_a_late_one_needs_a_reason(void **state)
{
    (void)state;
    struct message message = BY("head", UNIT_HEAD);
    struct case_file file = a_case(LATE_UNDECIDED);
    RejectLate command = EVALUATION__V1__REJECT_LATE__INIT;
    check_refused(&message, rule_reject_late(&message, &file, &command), "reason is missing");
}

static void a_late_rejection_is_written_in_the_right_written_form(void **state)
{
    (void)state;
    struct message message = BY("head", UNIT_HEAD);
    struct case_file file = a_case(LATE_UNDECIDED);
    file.nynorsk = true;
    RejectLate command = EVALUATION__V1__REJECT_LATE__INIT;
    command.application_id = "a-1";
    command.reason = "eitt sekund for seint";
    assert_int_equal(OK, rule_reject_late(&message, &file, &command));
    const ApplicationRejected *event = check_emitted(&message, 1, 0,
                                                     &evaluation__v1__application_rejected__descriptor);
    assert_int_equal(EVALUATION__V1__GROUND__LATE, event->ground);
    assert_string_equal("Kan ikkje klagast på.", event->no_appeal);
    assert_string_equal("", event->handler);
}

static void an_extension_for_all_admits_late_ones_also_when_rejected_as_late(void **state)
{
    (void)state;
    struct message message = BY("intake", SERVICE);
    struct case_file file = a_case(REJECTED);
    file.rejected_late = true;
    rule_became_timely(&message, &file);
    const LateAdmitted *event = check_emitted(&message, 1, 0, &evaluation__v1__late_admitted__descriptor);
    assert_int_equal(EVALUATION__V1__LATE_REASON__PORTAL_FAULT, event->code);
    assert_string_equal("the deadline was extended for all", event->reason);
}

static void an_extension_for_all_does_not_heal_other_faults(void **state)
{
    (void)state;
    struct message message = BY("intake", SERVICE);
    struct case_file file = a_case(REJECTED);
    rule_became_timely(&message, &file);
    assert_null(message.emitted);
}

// -------------------------------------------------------------------------------- the formal check

struct check {
    AnswerFormalCheck command;
    FormalItem items[FORMAL_ITEMS + 1];
    FormalItem *pointers[FORMAL_ITEMS + 1];
};

static void all_met(struct check *check)
{
    *check = (struct check){.command = EVALUATION__V1__ANSWER_FORMAL_CHECK__INIT};
    check->command.application_id = "a-1";
    check->command.n_items = FORMAL_ITEMS;
    check->command.items = check->pointers;
    for (int i = 0; i <= FORMAL_ITEMS; i++) {
        evaluation__v1__formal_item__init(&check->items[i]);
        check->items[i].item = (Evaluation__V1__FormalItem__Item)(i + 1);
        check->items[i].answer = EVALUATION__V1__FORMAL_ITEM__ANSWER__MET;
        check->pointers[i] = &check->items[i];
    }
}

static void a_check_passes_when_every_item_is_met(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct case_file file = a_case(RECEIVED);
    struct check check;
    all_met(&check);
    assert_int_equal(OK, rule_check(&message, &file, &check.command));
    const FormalCheckAnswered *event = check_emitted(&message, 1, 0,
                                                     &evaluation__v1__formal_check_answered__descriptor);
    assert_true(event->passed);
    assert_int_equal(FORMAL_ITEMS, event->n_items);
}

static void a_check_fails_when_one_item_is_not_met(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct case_file file = a_case(RECEIVED);
    struct check check;
    all_met(&check);
    check.items[2].answer = EVALUATION__V1__FORMAL_ITEM__ANSWER__NOT_MET;
    check.items[2].note = "drift";
    assert_int_equal(OK, rule_check(&message, &file, &check.command));
    const FormalCheckAnswered *event = check_emitted(&message, 1, 0,
                                                     &evaluation__v1__formal_check_answered__descriptor);
    assert_false(event->passed);
}

static void nothing_is_checked_before_the_call_has_closed(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct case_file file = a_case(RECEIVED);
    file.call_closed = false;
    struct check check;
    all_met(&check);
    check_refused(&message, rule_check(&message, &file, &check.command), "call c-1 has not closed");
}

static void every_item_is_answered_once(void **state)
{
    (void)state;
    struct check check;
    struct case_file file = a_case(RECEIVED);

    struct message missing = BY("officer", CASE_OFFICER);
    all_met(&check);
    check.command.n_items = FORMAL_ITEMS - 1;
    check_refused(&missing, rule_check(&missing, &file, &check.command), "4 of the 5 questions");

    struct message twice = BY("officer", CASE_OFFICER);
    all_met(&check);
    check.items[4].item = EVALUATION__V1__FORMAL_ITEM__ITEM__ELIGIBLE_APPLICANT;
    check_refused(&twice, rule_check(&twice, &file, &check.command), "ELIGIBLE_APPLICANT twice");

    struct message nameless = BY("officer", CASE_OFFICER);
    all_met(&check);
    check.items[0].item = EVALUATION__V1__FORMAL_ITEM__ITEM__ITEM_UNSPECIFIED;
    check_refused(&nameless, rule_check(&nameless, &file, &check.command), "item is missing");

    struct message unanswered = BY("officer", CASE_OFFICER);
    all_met(&check);
    check.items[0].answer = EVALUATION__V1__FORMAL_ITEM__ANSWER__ANSWER_UNSPECIFIED;
    check_refused(&unanswered, rule_check(&unanswered, &file, &check.command),
                  "answer to ELIGIBLE_APPLICANT is missing");
}

static void what_is_not_met_needs_a_note(void **state)
{
    (void)state;
    struct message message = BY("officer", CASE_OFFICER);
    struct case_file file = a_case(RECEIVED);
    struct check check;
    all_met(&check);
    check.items[0].answer = EVALUATION__V1__FORMAL_ITEM__ANSWER__NOT_MET;
    check_refused(&message, rule_check(&message, &file, &check.command), "note is missing");
}

static Reject a_rejection(void)
{
    Reject command = EVALUATION__V1__REJECT__INIT;
    command.application_id = "a-1";
    command.ground = EVALUATION__V1__GROUND__WRONG_AREA;
    command.reason = "tiltaket er drift";
    return command;
}

static void another_than_who_checked_rejects(void **state)
{
    (void)state;
    struct message message = BY("head", UNIT_HEAD);
    struct case_file file = a_wanting_case();
    Reject command = a_rejection();
    assert_int_equal(OK, rule_reject(&message, &file, &command));
    const ApplicationRejected *event = check_emitted(&message, 1, 0,
                                                     &evaluation__v1__application_rejected__descriptor);
    assert_string_equal("officer", event->handler);
    assert_string_equal("Kan ikke påklages.", event->no_appeal);
}

static void who_checked_can_not_reject(void **state)
{
    (void)state;
    struct message message = BY("officer", UNIT_HEAD);
    struct case_file file = a_wanting_case();
    Reject command = a_rejection();
    check_refused(&message, rule_reject(&message, &file, &command), "you answered the formal check");
}

static void a_rejection_rests_on_what_the_check_found(void **state)
{
    (void)state;
    struct case_file file = a_wanting_case();
    const Ground wrong[] = {EVALUATION__V1__GROUND__NOT_ELIGIBLE, EVALUATION__V1__GROUND__LATE,
                            EVALUATION__V1__GROUND__GROUND_UNSPECIFIED};
    for (int i = 0; i < 3; i++) {
        struct message message = BY("head", UNIT_HEAD);
        Reject command = a_rejection();
        command.ground = wrong[i];
        check_refused(&message, rule_reject(&message, &file, &command), "does not rest on an item");
    }
}

// ------------------------------------------------------------------------------------- readers

static AssignReader an_assignment(uint32_t place, char *person)
{
    AssignReader command = EVALUATION__V1__ASSIGN_READER__INIT;
    command.application_id = "a-1";
    command.place = place;
    command.person = person;
    return command;
}

static void a_head_assigns_a_third_reader(void **state)
{
    (void)state;
    struct message message = BY("head", UNIT_HEAD);
    struct case_file file = a_case(ELIGIBLE);
    AssignReader command = an_assignment(3, "third");
    assert_int_equal(OK, rule_assign(&message, &file, &command));
    const ReaderAssigned *event = check_emitted(&message, 1, 0, &evaluation__v1__reader_assigned__descriptor);
    assert_string_equal("", event->replaces);
}

static void replacing_a_reader_needs_a_reason_and_names_who_is_replaced(void **state)
{
    (void)state;
    struct case_file file = a_case(ELIGIBLE);
    AssignReader command = an_assignment(2, "third");

    struct message silent = BY("head", UNIT_HEAD);
    check_refused(&silent, rule_assign(&silent, &file, &command), "reason is missing");

    struct message message = BY("head", UNIT_HEAD);
    command.reason = "inhabil";
    assert_int_equal(OK, rule_assign(&message, &file, &command));
    const ReaderAssigned *event = check_emitted(&message, 1, 0, &evaluation__v1__reader_assigned__descriptor);
    assert_string_equal("second", event->replaces);
}

static void readers_are_impartial_and_different(void **state)
{
    (void)state;
    struct case_file file = a_case(ELIGIBLE);
    const struct {
        uint32_t place;
        char *person;
        const char *refusal;
    } wrong[] = {
        {0, "third", "place 0 of application a-1 is none"},
        {4, "third", "place 4 of application a-1 is none"},
        {3, "", "person is missing"},
        {3, "stranger", "person stranger has not declared interest"},
        {3, "conflicted", "person conflicted declared a conflict"},
        {3, "first", "person first reads application a-1 already, in place 1"},
        {2, "second", "person second reads application a-1 already, in place 2"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct message message = BY("head", UNIT_HEAD);
        AssignReader command = an_assignment(wrong[i].place, wrong[i].person);
        command.reason = "bytte";
        check_refused(&message, rule_assign(&message, &file, &command), wrong[i].refusal);
    }
}

// ------------------------------------------------------------------------------------- scores

static Score a_score(char *criterion, int value)
{
    Score command = EVALUATION__V1__SCORE__INIT;
    command.application_id = "a-1";
    command.criterion = criterion;
    command.value = value;
    command.reason = "fordi";
    return command;
}

static void a_reader_scores_with_a_reason(void **state)
{
    (void)state;
    struct message message = BY("second", READER);
    struct case_file file = a_case(ELIGIBLE);
    Score command = a_score("F", 6);
    assert_int_equal(OK, rule_score(&message, &file, &command));
    const ScoreGiven *event = check_emitted(&message, 1, 0, &evaluation__v1__score_given__descriptor);
    assert_string_equal("second", event->person);
    assert_int_equal(2, event->place);
}

static void scores_outside_the_rules_are_refused(void **state)
{
    (void)state;
    struct case_file file = a_case(ELIGIBLE);

    struct message stranger = BY("third", READER);
    Score command = a_score("F", 3);
    check_refused(&stranger, rule_score(&stranger, &file, &command), "you are no reader of application a-1");

    struct message unknown = BY("first", READER);
    command = a_score("X", 3);
    check_refused(&unknown, rule_score(&unknown, &file, &command), "criterion X is none of call c-1: F, O");

    struct message above = BY("first", READER);
    command = a_score("F", 7);
    check_refused(&above, rule_score(&above, &file, &command), "value 7 on criterion F");

    struct message below = BY("first", READER);
    command = a_score("F", -1);
    check_refused(&below, rule_score(&below, &file, &command), "outside its scale of 0 to 6");

    struct message silent = BY("first", READER);
    command = a_score("F", 3);
    command.reason = "";
    check_refused(&silent, rule_score(&silent, &file, &command), "reason is missing");

    struct message wordy = BY("first", READER);
    command = a_score("F", 3);
    command.reason = too_long(&wordy, LIMIT_TEXT_BYTES);
    check_refused(&wordy, rule_score(&wordy, &file, &command), "at most 20000 are allowed");
}

static void a_completed_evaluation_is_scored_again_only_after_a_return(void **state)
{
    (void)state;
    struct case_file file = a_case(EVALUATED);
    Score command = a_score("F", 3);

    struct message complete = BY("first", READER);
    check_refused(&complete, rule_score(&complete, &file, &command), "is evaluated, so it can not be scored");

    struct message returned = BY("first", READER);
    file.reopened = true;
    assert_int_equal(OK, rule_score(&returned, &file, &command));
}

static void nothing_is_scored_while_the_call_is_open_again(void **state)
{
    (void)state;
    struct message message = BY("first", READER);
    struct case_file file = a_case(ELIGIBLE);
    file.call_closed = false;
    Score command = a_score("F", 3);
    check_refused(&message, rule_score(&message, &file, &command), "call c-1 has not closed");
}

// ------------------------------------------------------------------------------------- completing

static CompleteEvaluation a_completion(void)
{
    CompleteEvaluation command = EVALUATION__V1__COMPLETE_EVALUATION__INIT;
    command.application_id = "a-1";
    command.not_ordinary_operation = true;
    command.ordinary_operation_note = "utprøving";
    command.earlier_project_shown = true;
    command.earlier_project_note = "vist";
    command.reason = "samlet god";
    return command;
}

static void the_total_weighs_the_mean_of_two_readers(void **state)
{
    (void)state;
    struct message message = BY("first", READER);  // given F 5 and 4, weight 2; O 3 and 3, weight 1
    struct case_file file = a_scored_case();
    file.evaluation_version = 1;
    CompleteEvaluation command = a_completion();
    assert_int_equal(OK, rule_complete(&message, &file, &command));  // when
    const EvaluationCompleted *event =                               // then
        check_emitted(&message, 1, 0, &evaluation__v1__evaluation_completed__descriptor);
    assert_int_equal(2, event->evaluation_version);
    assert_int_equal(2 * 450 + 300, event->total);
    assert_int_equal(450, event->results[0]->hundredths);
    assert_int_equal(2, event->results[0]->n_reasons);
    assert_int_equal(2, event->n_readers);
    assert_string_equal("utprøving", event->ordinary_operation_note);
    assert_string_equal("vist", event->earlier_project_note);
}

static void a_disagreement_is_settled_by_the_third_reader_alone(void **state)
{
    (void)state;
    struct given_score scores[6];
    memcpy(scores, both_scored, sizeof both_scored);
    scores[1].value = 2;  // given F 5 against 2
    struct case_file file = a_scored_case();
    file.scores = scores;
    CompleteEvaluation command = a_completion();

    struct message unsettled = BY("first", READER);
    check_refused(&unsettled, rule_complete(&unsettled, &file, &command),
                  "differ by 3 points on criterion F, and 1 is the most: a third reader must score it");

    struct message unscored = BY("first", READER);
    file.readers[2].person = "third";
    check_refused(&unscored, rule_complete(&unscored, &file, &command), "a third reader must score it");

    struct message message = BY("first", READER);  // when the third has scored F, and O too
    scores[4] = (struct given_score){"third", 3, "F", 4, "midt imellom"};
    scores[5] = (struct given_score){"third", 3, "O", 6, "teller ikke"};
    file.n_scores = 6;
    assert_int_equal(OK, rule_complete(&message, &file, &command));
    const EvaluationCompleted *event =  // then only F is the third's
        check_emitted(&message, 1, 0, &evaluation__v1__evaluation_completed__descriptor);
    assert_int_equal(2 * 400 + 300, event->total);
    assert_int_equal(3, event->results[0]->n_reasons);
    assert_int_equal(2, event->results[1]->n_reasons);
    assert_int_equal(3, event->n_readers);
}

static void a_third_reader_with_a_conflict_settles_nothing(void **state)
{
    (void)state;
    struct given_score scores[5];
    memcpy(scores, both_scored, sizeof both_scored);
    scores[1].value = 2;
    scores[4] = (struct given_score){"conflicted", 3, "F", 4, "midt imellom"};
    struct case_file file = a_scored_case();
    file.scores = scores;
    file.n_scores = 5;
    file.readers[2].person = "conflicted";
    struct message message = BY("first", READER);
    CompleteEvaluation command = a_completion();
    check_refused(&message, rule_complete(&message, &file, &command), "a third reader must score it");
}

static void only_the_first_reader_completes(void **state)
{
    (void)state;
    struct message message = BY("second", READER);
    struct case_file file = a_scored_case();
    CompleteEvaluation command = a_completion();
    check_refused(&message, rule_complete(&message, &file, &command),
                  "only the first reader of application a-1, first, can complete its evaluation");

    struct message early = BY("second", READER);
    file.readers[0].person = "";
    check_refused(&early, rule_complete(&early, &file, &command), "who is not assigned yet");
}

static void both_readers_are_there_impartial_and_have_scored(void **state)
{
    (void)state;
    CompleteEvaluation command = a_completion();

    struct message alone = BY("first", READER);
    struct case_file file = a_scored_case();
    file.readers[1].person = "";
    check_refused(&alone, rule_complete(&alone, &file, &command), "application a-1 has no reader in place 2");

    struct message partial = BY("first", READER);
    file.readers[1].person = "conflicted";
    check_refused(&partial, rule_complete(&partial, &file, &command),
                  "reader conflicted declared a conflict");

    struct message unscored = BY("first", READER);
    file = a_scored_case();
    file.n_scores = 3;
    check_refused(&unscored, rule_complete(&unscored, &file, &command),
                  "reader second in place 2 has not scored criterion O");
}

static void completing_needs_its_notes(void **state)
{
    (void)state;
    struct case_file file = a_scored_case();
    const struct {
        size_t field;
        const char *refusal;
    } needed[] = {
        {offsetof(CompleteEvaluation, ordinary_operation_note), "ordinary_operation_note is missing"},
        {offsetof(CompleteEvaluation, earlier_project_note), "earlier_project_note is missing"},
        {offsetof(CompleteEvaluation, reason), "reason is missing"}};
    for (int i = 0; i < 3; i++) {
        struct message message = BY("first", READER);
        CompleteEvaluation command = a_completion();
        *(char **)((char *)&command + needed[i].field) = "\n ";
        check_refused(&message, rule_complete(&message, &file, &command), needed[i].refusal);
    }
}

static void reasons_that_no_event_can_hold_are_refused(void **state)
{
    (void)state;
    struct message message = BY("first", READER);
    struct given_score scores[4];
    struct case_file file = a_scored_case();
    memcpy(scores, both_scored, sizeof both_scored);
    for (int i = 0; i < 4; i++)
        scores[i].reason = too_long(&message, 60000);
    file.scores = scores;
    CompleteEvaluation command = a_completion();
    check_refused(&message, rule_complete(&message, &file, &command), "shorten some");
}

// ------------------------------------------------------------------------------------ recommending

static Recommend a_recommendation(int64_t amount_ore)
{
    Recommend command = EVALUATION__V1__RECOMMEND__INIT;
    command.application_id = "a-1";
    command.award = true;
    command.amount_ore = amount_ore;
    command.reason = "F og O";
    command.cuts = "reisene";
    return command;
}

static void a_recommendation_names_its_versions(void **state)
{
    (void)state;
    struct message message = BY("first", READER);
    struct case_file file = a_case(EVALUATED);
    file.evaluation_version = 2;
    file.recommendation_version = 1;
    Recommend command = a_recommendation(300000 * KR);
    assert_int_equal(OK, rule_recommend(&message, &file, &command));
    const RecommendationMade *event = check_emitted(&message, 1, 0,
                                                    &evaluation__v1__recommendation_made__descriptor);
    assert_int_equal(2, event->recommendation_version);
    assert_int_equal(2, event->evaluation_version);
    assert_int_equal(400000 * KR, event->applied_ore);
    assert_string_equal("first", event->recommended_by);
}

static void amounts_that_can_not_be_awarded_are_not_recommended(void **state)
{
    (void)state;
    struct case_file file = a_case(EVALUATED);
    const struct {
        int64_t amount_ore;
        const char *refusal;
    } wrong[] = {
        {0, "amount_ore 0 for application a-1 is not an amount"},
        {-100, "amount_ore -100"},
        {150, "whole kroner above zero"},
        {401000 * KR, "more than the 400 000 kr that were applied for"},
        {1500 * KR, "1 500 kr for application a-1 is no whole multiple of 1 000 kr"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        struct message message = BY("first", READER);
        Recommend command = a_recommendation(wrong[i].amount_ore);
        check_refused(&message, rule_recommend(&message, &file, &command), wrong[i].refusal);
    }
}

static void a_cut_says_what_is_cut(void **state)
{
    (void)state;
    struct case_file file = a_case(EVALUATED);

    struct message silent = BY("first", READER);
    Recommend command = a_recommendation(300000 * KR);
    command.cuts = "";
    check_refused(&silent, rule_recommend(&silent, &file, &command), "cuts is missing");

    struct message whole = BY("first", READER);
    command.amount_ore = 400000 * KR;
    assert_int_equal(OK, rule_recommend(&whole, &file, &command));
}

static void a_refusal_is_recommended_without_an_amount(void **state)
{
    (void)state;
    struct case_file file = a_case(EVALUATED);
    Recommend command = a_recommendation(1000 * KR);
    command.award = false;

    struct message wrong = BY("first", READER);
    check_refused(&wrong, rule_recommend(&wrong, &file, &command), "amount_ore must be 0");

    struct message silent = BY("first", READER);
    command.amount_ore = 0;
    command.reason = "";
    check_refused(&silent, rule_recommend(&silent, &file, &command), "reason is missing");
}

static void only_the_first_reader_recommends(void **state)
{
    (void)state;
    struct message message = BY("second", READER);
    struct case_file file = a_case(EVALUATED);
    Recommend command = a_recommendation(1000 * KR);
    check_refused(&message, rule_recommend(&message, &file, &command), "can recommend");
}

static void who_recommended_can_not_return_it(void **state)
{
    (void)state;
    struct case_file file = a_case(RECOMMENDED);
    file.recommended_by = "first";
    ReturnRecommendation command = EVALUATION__V1__RETURN_RECOMMENDATION__INIT;
    command.application_id = "a-1";
    command.note = "begrunn O bedre";

    struct message self = BY("first", UNIT_HEAD);
    check_refused(&self, rule_return(&self, &file, &command), "you recommended application a-1");

    struct message head = BY("head", UNIT_HEAD);
    assert_int_equal(OK, rule_return(&head, &file, &command));
    check_emitted(&head, 1, 0, &evaluation__v1__recommendation_returned__descriptor);

    struct message silent = BY("head", UNIT_HEAD);
    command.note = "";
    check_refused(&silent, rule_return(&silent, &file, &command), "note is missing");
}

// ---------------------------------------------------------------------------------- others' events

static void a_delivered_application_opens_one_case(void **state)
{
    (void)state;
    ApplicationSubmitted submitted = INTAKE__V1__APPLICATION_SUBMITTED__INIT;
    submitted.application_id = "a-1";
    submitted.applied_ore = 5;

    struct message first = BY("intake", SERVICE);
    struct case_file file = {.id = "a-1"};
    rule_open(&first, &file, &submitted, true);
    const CaseOpened *event = check_emitted(&first, 1, 0, &evaluation__v1__case_opened__descriptor);
    assert_true(event->late);

    struct message again = BY("intake", SERVICE);
    file = a_case(RECEIVED);
    rule_open(&again, &file, &submitted, true);
    assert_null(again.emitted);
}

static void a_withdrawn_application_is_closed_unless_it_is_over(void **state)
{
    (void)state;
    ApplicationWithdrawn withdrawn = INTAKE__V1__APPLICATION_WITHDRAWN__INIT;
    withdrawn.application_id = "a-1";

    struct message message = BY("intake", SERVICE);
    struct case_file file = a_case(ELIGIBLE);
    rule_withdrawn(&message, &file, &withdrawn);
    check_emitted(&message, 1, 0, &evaluation__v1__case_closed__descriptor);

    struct message rejected = BY("intake", SERVICE);
    file = a_case(REJECTED);
    rule_withdrawn(&rejected, &file, &withdrawn);
    assert_null(rejected.emitted);
}

// ----------------------------------------------------------------------------------- who sees what

static void an_auditor_sees_without_declaring(void **state)
{
    (void)state;
    struct message message = BY("auditor", AUDITOR);
    struct case_file file = a_scored_case();
    file.call_closed = false;
    assert_int_equal(OK, rule_see(&message, &file));
    assert_true(rule_sees_score(&message, &file, &file.scores[0]));
}

static void others_scores_are_hidden_until_ones_own_are_in(void **state)
{
    (void)state;
    struct case_file file = a_scored_case();
    struct message second = BY("second", READER);
    assert_true(rule_sees_score(&second, &file, &file.scores[0]));  // all in: sees the first reader's

    file.n_scores = 3;  // the second has not scored O
    assert_false(rule_sees_score(&second, &file, &file.scores[0]));
    assert_true(rule_sees_score(&second, &file, &file.scores[1]));  // own ones always

    struct message head = BY("head", UNIT_HEAD);
    assert_false(rule_sees_score(&head, &file, &file.scores[0]));  // who does not read sees none
    file.state = EVALUATED;
    assert_true(rule_sees_score(&head, &file, &file.scores[0]));  // until it is complete
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_declaration_names_the_person_who_made_it),
        cmocka_unit_test(a_conflict_needs_its_ground),
        cmocka_unit_test(a_ground_is_a_line),
        cmocka_unit_test(a_relation_is_a_line_and_is_not_quoted),
        cmocka_unit_test(a_conflict_can_not_be_taken_back),
        cmocka_unit_test(declaring_the_same_twice_changes_nothing),
        cmocka_unit_test(a_conflict_may_be_found_later),
        cmocka_unit_test(nothing_is_declared_in_what_is_over),
        cmocka_unit_test(an_unknown_application_is_refused),
        cmocka_unit_test(nobody_acts_or_sees_before_declaring),
        cmocka_unit_test(nobody_acts_or_sees_with_a_conflict),
        cmocka_unit_test(what_is_withdrawn_stays_as_it_is),
        cmocka_unit_test(what_allocation_has_decided_stays_as_it_is),
        cmocka_unit_test(a_head_admits_a_late_application_with_a_reason),
        cmocka_unit_test(admitting_needs_a_code),
        cmocka_unit_test(rejecting_a_late_one_needs_a_reason),
        cmocka_unit_test(a_late_rejection_is_written_in_the_right_written_form),
        cmocka_unit_test(an_extension_for_all_admits_late_ones_also_when_rejected_as_late),
        cmocka_unit_test(an_extension_for_all_does_not_heal_other_faults),
        cmocka_unit_test(a_check_passes_when_every_item_is_met),
        cmocka_unit_test(a_check_fails_when_one_item_is_not_met),
        cmocka_unit_test(nothing_is_checked_before_the_call_has_closed),
        cmocka_unit_test(every_item_is_answered_once),
        cmocka_unit_test(what_is_not_met_needs_a_note),
        cmocka_unit_test(another_than_who_checked_rejects),
        cmocka_unit_test(who_checked_can_not_reject),
        cmocka_unit_test(a_rejection_rests_on_what_the_check_found),
        cmocka_unit_test(a_head_assigns_a_third_reader),
        cmocka_unit_test(replacing_a_reader_needs_a_reason_and_names_who_is_replaced),
        cmocka_unit_test(readers_are_impartial_and_different),
        cmocka_unit_test(a_reader_scores_with_a_reason),
        cmocka_unit_test(scores_outside_the_rules_are_refused),
        cmocka_unit_test(a_completed_evaluation_is_scored_again_only_after_a_return),
        cmocka_unit_test(nothing_is_scored_while_the_call_is_open_again),
        cmocka_unit_test(the_total_weighs_the_mean_of_two_readers),
        cmocka_unit_test(a_disagreement_is_settled_by_the_third_reader_alone),
        cmocka_unit_test(a_third_reader_with_a_conflict_settles_nothing),
        cmocka_unit_test(only_the_first_reader_completes),
        cmocka_unit_test(both_readers_are_there_impartial_and_have_scored),
        cmocka_unit_test(completing_needs_its_notes),
        cmocka_unit_test(reasons_that_no_event_can_hold_are_refused),
        cmocka_unit_test(a_recommendation_names_its_versions),
        cmocka_unit_test(amounts_that_can_not_be_awarded_are_not_recommended),
        cmocka_unit_test(a_cut_says_what_is_cut),
        cmocka_unit_test(a_refusal_is_recommended_without_an_amount),
        cmocka_unit_test(only_the_first_reader_recommends),
        cmocka_unit_test(who_recommended_can_not_return_it),
        cmocka_unit_test(a_delivered_application_opens_one_case),
        cmocka_unit_test(a_withdrawn_application_is_closed_unless_it_is_over),
        cmocka_unit_test(an_auditor_sees_without_declaring),
        cmocka_unit_test(others_scores_are_hidden_until_ones_own_are_in),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
