// What is allowed with a case. Each rule looks, refuses or emits; it knows no clock, database or network.
#include "evaluation.h"

#include "values/values.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#define STATE(name) (1u << (name))

static const char *const state_texts[] = {
    [RECEIVED] = "received",
    [LATE_UNDECIDED] = "late and not admitted",
    [FORMALLY_CHECKED] = "found wanting",
    [ELIGIBLE] = "eligible",
    [EVALUATED] = "evaluated",
    [RECOMMENDED] = "recommended",
    [REJECTED] = "rejected",
    [CLOSED] = "withdrawn",
};

// Which ground of rejection rests on which item of the formal check.
static const struct {
    Ground ground;
    unsigned items;
} grounds[] = {
    {EVALUATION__V1__GROUND__NOT_ELIGIBLE, 1u << EVALUATION__V1__FORMAL_ITEM__ITEM__ELIGIBLE_APPLICANT},
    {EVALUATION__V1__GROUND__NOT_AUTHORISED, 1u << EVALUATION__V1__FORMAL_ITEM__ITEM__AUTHORISED_APPROVAL},
    {EVALUATION__V1__GROUND__WRONG_AREA, 1u << EVALUATION__V1__FORMAL_ITEM__ITEM__RIGHT_AREA},
    {EVALUATION__V1__GROUND__INCOMPLETE, 1u << EVALUATION__V1__FORMAL_ITEM__ITEM__COMPLETE |
                                             1u << EVALUATION__V1__FORMAL_ITEM__ITEM__OWN_CONTRIBUTION},
};

// ----------------------------------------------------------------------------- what many rules ask

static const char *enum_text(const ProtobufCEnumDescriptor *descriptor, int value)
{
    const ProtobufCEnumValue *found = protobuf_c_enum_descriptor_get_value(descriptor, value);
    return found ? found->name : "unknown";
}

static bool is_actor(const struct message *message, const char *person)
{
    return strcmp(message->actor->subject, person) == 0;
}

static const struct interest *interest_of(const struct case_file *file, const char *person)
{
    for (int i = 0; i < file->n_interests; i++)
        if (strcmp(file->interests[i].person, person) == 0)
            return &file->interests[i];
    return NULL;
}

static bool has_conflict(const struct case_file *file, const char *person)
{
    const struct interest *interest = interest_of(file, person);
    return interest && interest->conflict;
}

static status_t is_known(struct message *message, const struct case_file *file)
{
    if (!file->known)
        return fail(message, REFUSED, "application_id: %s is not the id of a delivered application",
                    file->id);
    return OK;
}

// The case exists, and the actor has said that there is no conflict of interest.
static status_t is_impartial(struct message *message, const struct case_file *file)
{
    status_t status = is_known(message, file);
    if (status != OK)
        return status;
    const struct interest *interest = interest_of(file, message->actor->subject);
    if (!interest)
        return fail(message, REFUSED, "declare your interest in application %s before you open it", file->id);
    if (interest->conflict)
        return fail(message, REFUSED,
                    "you declared a conflict of interest in application %s: another must act in it",
                    file->id);
    return OK;
}

// The actor may act, nobody has decided yet, and the case is in one of these states.
static status_t may_act(struct message *message, const struct case_file *file, unsigned states,
                        const char *what)
{
    status_t status = is_impartial(message, file);
    if (status != OK)
        return status;
    if (file->decided)
        return fail(message, REFUSED, "application %s is decided, so it can not be %s", file->id, what);
    if (!(states & STATE(file->state)))
        return fail(message, REFUSED, "application %s is %s, so it can not be %s", file->id,
                    state_texts[file->state], what);
    return OK;
}

static status_t call_has_closed(struct message *message, const struct case_file *file)
{
    if (!file->call_closed)
        return fail(message, REFUSED, "call %s has not closed: application %s is not opened before it has",
                    file->call_id, file->id);
    return OK;
}

static bool is_blank(const char *text)
{
    return text[strspn(text, " \t\n")] == '\0';
}

static status_t text_fits(struct message *message, const struct case_file *file, const char *field,
                          const char *text, size_t most)
{
    if (strlen(text) > most)
        return fail(message, REFUSED, "%s of application %s is %zu bytes long: at most %zu are allowed",
                    field, file->id, strlen(text), most);
    return OK;
}

static status_t needs_text(struct message *message, const struct case_file *file, const char *field,
                           const char *text)
{
    if (is_blank(text))
        return fail(message, REFUSED, "%s is missing: application %s needs it in words", field, file->id);
    return text_fits(message, file, field, text, LIMIT_TEXT_BYTES);
}

static const char *both_forms(const struct case_file *file, const Types__V1__Text *text)
{
    return !text ? "" : file->nynorsk ? text->nn : text->nb;
}

// ------------------------------------------------------------------------------------ impartiality

status_t rule_declare(struct message *message, const struct case_file *file, const DeclareInterest *command)
{
    status_t status = is_known(message, file);
    if (status != OK)
        return status;
    if (file->state == CLOSED || file->state == REJECTED)
        return fail(message, REFUSED, "application %s is %s: there is nothing left to be impartial in",
                    file->id, state_texts[file->state]);
    if (command->conflict && is_blank(command->ground))
        return fail(message, REFUSED,
                    "ground is missing: name the paragraph and the relation in application %s", file->id);
    status = text_fits(message, file, "ground", command->ground, LIMIT_LINE_BYTES);
    if (status == OK && command->relation != NULL)
        status = text_fits(message, file, "relation", command->relation->text, LIMIT_LINE_BYTES);
    if (status != OK)
        return status;

    const struct interest *earlier = interest_of(file, message->actor->subject);
    if (earlier && earlier->conflict && !command->conflict)
        return fail(message, REFUSED, "conflict: yours in application %s is declared and stands for good",
                    file->id);
    if (earlier && earlier->conflict == command->conflict)
        return OK;  // said before: nothing has changed

    InterestDeclared event = EVALUATION__V1__INTEREST_DECLARED__INIT;
    event.application_id = command->application_id;
    event.person = message->actor->subject;
    event.conflict = command->conflict;
    event.ground = command->ground;
    event.relation = command->relation;
    emit(message, &event);
    return OK;
}

// ---------------------------------------------------------------------------------- formal matters

static void emit_rejected(struct message *message, const struct case_file *file, Ground ground, char *reason)
{
    ApplicationRejected event = EVALUATION__V1__APPLICATION_REJECTED__INIT;
    event.application_id = (char *)file->id;
    event.call_id = (char *)file->call_id;
    event.ground = ground;
    event.reason = reason;
    event.handler = (char *)file->checked_by;
    event.no_appeal = (char *)both_forms(file, file->call->no_appeal);
    emit(message, &event);
}

static void emit_admitted(struct message *message, const struct case_file *file,
                          Evaluation__V1__LateReason code, char *reason)
{
    LateAdmitted event = EVALUATION__V1__LATE_ADMITTED__INIT;
    event.application_id = (char *)file->id;
    event.code = code;
    event.reason = reason;
    emit(message, &event);
}

status_t rule_admit_late(struct message *message, const struct case_file *file, const AdmitLate *command)
{
    status_t status = may_act(message, file, STATE(LATE_UNDECIDED), "admitted although late");
    if (status != OK)
        return status;
    if (command->code == EVALUATION__V1__LATE_REASON__LATE_REASON_UNSPECIFIED)
        return fail(message, REFUSED,
                    "code is missing: application %s is admitted for a fault of the portal, a fault of "
                    "the directorate, or force majeure",
                    file->id);
    status = needs_text(message, file, "reason", command->reason);
    if (status == OK)
        emit_admitted(message, file, command->code, command->reason);
    return status;
}

status_t rule_reject_late(struct message *message, const struct case_file *file, const RejectLate *command)
{
    status_t status = may_act(message, file, STATE(LATE_UNDECIDED), "rejected as late");
    if (status == OK)
        status = needs_text(message, file, "reason", command->reason);
    if (status == OK)
        emit_rejected(message, file, EVALUATION__V1__GROUND__LATE, command->reason);
    return status;
}

static status_t check_item(struct message *message, const struct case_file *file, const FormalItem *item,
                           unsigned *answered)
{
    const char *name = enum_text(&evaluation__v1__formal_item__item__descriptor, item->item);
    if (item->item == EVALUATION__V1__FORMAL_ITEM__ITEM__ITEM_UNSPECIFIED)
        return fail(message, REFUSED, "item is missing in one of the answers on application %s", file->id);
    if (item->answer == EVALUATION__V1__FORMAL_ITEM__ANSWER__ANSWER_UNSPECIFIED)
        return fail(message, REFUSED, "answer to %s is missing on application %s: MET or NOT_MET", name,
                    file->id);
    if (*answered & 1u << item->item)
        return fail(message, REFUSED, "items answer %s twice on application %s", name, file->id);
    if (item->answer == EVALUATION__V1__FORMAL_ITEM__ANSWER__NOT_MET && is_blank(item->note))
        return fail(message, REFUSED, "note is missing: say why %s is not met by application %s", name,
                    file->id);
    *answered |= 1u << item->item;
    return text_fits(message, file, "note", item->note, LIMIT_TEXT_BYTES);
}

status_t rule_check(struct message *message, const struct case_file *file, const AnswerFormalCheck *command)
{
    status_t status = may_act(message, file, STATE(RECEIVED) | STATE(FORMALLY_CHECKED), "checked");
    if (status == OK)
        status = call_has_closed(message, file);

    unsigned answered = 0;
    bool passed = true;
    for (size_t i = 0; status == OK && i < command->n_items; i++) {
        status = check_item(message, file, command->items[i], &answered);
        passed = passed && command->items[i]->answer == EVALUATION__V1__FORMAL_ITEM__ANSWER__MET;
    }
    if (status != OK)
        return status;
    if (command->n_items != FORMAL_ITEMS)
        return fail(message, REFUSED,
                    "items answer %zu of the %d questions on application %s: each must be answered",
                    command->n_items, FORMAL_ITEMS, file->id);

    FormalCheckAnswered event = EVALUATION__V1__FORMAL_CHECK_ANSWERED__INIT;
    event.application_id = command->application_id;
    event.n_items = command->n_items;
    event.items = command->items;
    event.passed = passed;
    emit(message, &event);
    return OK;
}

// The ground must rest on something that the check found.
static status_t ground_holds(struct message *message, const struct case_file *file, Ground ground)
{
    for (size_t i = 0; i < sizeof grounds / sizeof *grounds; i++)
        if (grounds[i].ground == ground && (grounds[i].items & file->unmet))
            return OK;
    return fail(message, REFUSED, "ground: %s does not rest on an item that application %s did not meet",
                enum_text(&evaluation__v1__ground__descriptor, (int)ground), file->id);
}

status_t rule_reject(struct message *message, const struct case_file *file, const Reject *command)
{
    status_t status = may_act(message, file, STATE(FORMALLY_CHECKED), "rejected");
    if (status != OK)
        return status;
    if (is_actor(message, file->checked_by))
        return fail(message, REFUSED,
                    "you answered the formal check of application %s: another must reject it", file->id);
    status = ground_holds(message, file, command->ground);
    if (status == OK)
        status = needs_text(message, file, "reason", command->reason);
    if (status == OK)
        emit_rejected(message, file, command->ground, command->reason);
    return status;
}

// ------------------------------------------------------------------------------ readers and scores

static int place_of(const struct case_file *file, const char *person)
{
    for (int place = 1; place <= READER_PLACES; place++)
        if (strcmp(file->readers[place - 1].person, person) == 0)
            return place;
    return 0;
}

static status_t may_read(struct message *message, const struct case_file *file, const char *person)
{
    const struct interest *interest = interest_of(file, person);
    if (is_blank(person))
        return fail(message, REFUSED, "person is missing: name who reads application %s", file->id);
    if (!interest)
        return fail(message, REFUSED,
                    "person %s has not declared interest in application %s and can not read it", person,
                    file->id);
    if (interest->conflict)
        return fail(message, REFUSED,
                    "person %s declared a conflict of interest in application %s and can not read it", person,
                    file->id);
    int place = place_of(file, person);
    if (place)
        return fail(message, REFUSED, "person %s reads application %s already, in place %d", person, file->id,
                    place);
    return OK;
}

status_t rule_assign(struct message *message, const struct case_file *file, const AssignReader *command)
{
    status_t status = may_act(message, file, STATE(RECEIVED) | STATE(ELIGIBLE) | STATE(EVALUATED),
                              "given other readers");
    if (status != OK)
        return status;
    if (command->place < 1 || command->place > READER_PLACES)
        return fail(message, REFUSED, "place %u of application %s is none: 1, 2 or 3", command->place,
                    file->id);
    status = may_read(message, file, command->person);
    const char *present = file->readers[command->place - 1].person;
    if (status == OK && *present)
        status = needs_text(message, file, "reason", command->reason);
    if (status == OK)
        status = text_fits(message, file, "reason", command->reason, LIMIT_TEXT_BYTES);
    if (status != OK)
        return status;

    ReaderAssigned event = EVALUATION__V1__READER_ASSIGNED__INIT;
    event.application_id = command->application_id;
    event.place = command->place;
    event.person = command->person;
    event.replaces = (char *)present;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}

static const Criterion *criterion_of(const struct case_file *file, const char *id)
{
    for (size_t i = 0; i < file->call->n_criteria; i++)
        if (strcmp(file->call->criteria[i]->id, id) == 0)
            return file->call->criteria[i];
    return NULL;
}

static const char *criteria_list(struct message *message, const struct case_file *file)
{
    const char *list = "";
    for (size_t i = 0; i < file->call->n_criteria; i++)
        list = arena_printf(message->arena, "%s%s%s", list, i ? ", " : "", file->call->criteria[i]->id);
    return list;
}

// Scores may be given and evaluations completed: nothing is complete, or what was is open again.
static status_t may_change_scores(struct message *message, const struct case_file *file, const char *what)
{
    unsigned states = STATE(ELIGIBLE) | (file->reopened ? STATE(EVALUATED) : 0);
    status_t status = may_act(message, file, states, what);
    return status == OK ? call_has_closed(message, file) : status;
}

status_t rule_score(struct message *message, const struct case_file *file, const Score *command)
{
    status_t status = may_change_scores(message, file, "scored");
    if (status != OK)
        return status;
    int place = place_of(file, message->actor->subject);
    if (!place)
        return fail(message, REFUSED, "you are no reader of application %s: a unit head assigns them",
                    file->id);
    const Criterion *criterion = criterion_of(file, command->criterion);
    if (!criterion)
        return fail(message, REFUSED, "criterion %s is none of call %s: %s", command->criterion,
                    file->call_id, criteria_list(message, file));
    if (command->value < criterion->lowest || command->value > criterion->highest)
        return fail(message, REFUSED,
                    "value %d on criterion %s of application %s is outside its scale of %d to %d",
                    command->value, criterion->id, file->id, criterion->lowest, criterion->highest);
    status = needs_text(message, file, "reason", command->reason);
    if (status != OK)
        return status;

    ScoreGiven event = EVALUATION__V1__SCORE_GIVEN__INIT;
    event.application_id = command->application_id;
    event.person = message->actor->subject;
    event.place = (uint32_t)place;
    event.criterion = command->criterion;
    event.value = command->value;
    event.reason = command->reason;
    emit(message, &event);
    return OK;
}

static const struct given_score *score_of(const struct case_file *file, const char *person,
                                          const char *criterion)
{
    for (int i = 0; i < file->n_scores; i++)
        if (strcmp(file->scores[i].person, person) == 0 && strcmp(file->scores[i].criterion, criterion) == 0)
            return &file->scores[i];
    return NULL;
}

// ------------------------------------------------------------------------------------- evaluation

// The reader in this place is there, without a conflict.
static status_t reader_holds(struct message *message, const struct case_file *file, int place)
{
    const char *person = file->readers[place - 1].person;
    if (!*person)
        return fail(message, REFUSED, "application %s has no reader in place %d: a unit head assigns one",
                    file->id, place);
    if (has_conflict(file, person))
        return fail(message, REFUSED,
                    "reader %s declared a conflict of interest in application %s: a unit head assigns "
                    "another in place %d first",
                    person, file->id, place);
    return OK;
}

// The actor is the first reader, and both readers still may be.
static status_t is_first_reader(struct message *message, const struct case_file *file, const char *what)
{
    if (!is_actor(message, file->readers[0].person))
        return fail(message, REFUSED, "only the first reader of application %s, %s, can %s", file->id,
                    *file->readers[0].person ? file->readers[0].person : "who is not assigned yet", what);
    status_t status = reader_holds(message, file, 1);
    return status == OK ? reader_holds(message, file, 2) : status;
}

static status_t need_score(struct message *message, const struct case_file *file, int place,
                           const char *criterion, const struct given_score **ret)
{
    const char *person = file->readers[place - 1].person;
    *ret = score_of(file, person, criterion);
    if (!*ret)
        return fail(message, REFUSED, "reader %s in place %d has not scored criterion %s of application %s",
                    person, place, criterion, file->id);
    return OK;
}

// The third reader's score settles what the two disagree on.
static status_t need_settled(struct message *message, const struct case_file *file,
                             const Criterion *criterion, int difference, const struct given_score **ret)
{
    const struct reader *third = &file->readers[2];
    if (*third->person && !has_conflict(file, third->person))
        *ret = score_of(file, third->person, criterion->id);
    if (!*ret)
        return fail(message, REFUSED,
                    "the readers of application %s differ by %d points on criterion %s, and %d is the "
                    "most: a third reader must score it",
                    file->id, difference, criterion->id, file->call->max_disagreement);
    return OK;
}

// One criterion: the mean of two readers, or the third's where they disagree too much.
static status_t settle(struct message *message, const struct case_file *file, const Criterion *criterion,
                       CriterionResult **ret)
{
    const struct given_score *first, *second, *third = NULL;
    status_t status = need_score(message, file, 1, criterion->id, &first);
    if (status == OK)
        status = need_score(message, file, 2, criterion->id, &second);
    if (status != OK)
        return status;
    int difference = abs(first->value - second->value);
    if (difference > file->call->max_disagreement)
        status = need_settled(message, file, criterion, difference, &third);
    if (status != OK)
        return status;

    CriterionResult *result = arena_alloc(message->arena, sizeof *result);
    evaluation__v1__criterion_result__init(result);
    result->criterion = criterion->id;
    result->hundredths = third ? third->value * INT64_C(100) : (first->value + second->value) * INT64_C(50);
    result->weight = criterion->weight;
    result->tie_order = criterion->tie_order;
    result->reasons = arena_alloc(message->arena, READER_PLACES * sizeof *result->reasons);
    result->reasons[result->n_reasons++] = (char *)first->reason;
    result->reasons[result->n_reasons++] = (char *)second->reason;
    if (third)
        result->reasons[result->n_reasons++] = (char *)third->reason;
    *ret = result;
    return OK;
}

static void add_readers(struct message *message, const struct case_file *file, EvaluationCompleted *event)
{
    event->readers = arena_alloc(message->arena, READER_PLACES * sizeof *event->readers);
    for (int i = 0; i < READER_PLACES; i++)
        if (*file->readers[i].person && !has_conflict(file, file->readers[i].person))
            event->readers[event->n_readers++] = (char *)file->readers[i].person;
}

static status_t add_results(struct message *message, const struct case_file *file, EvaluationCompleted *event)
{
    status_t status = OK;
    event->results = arena_alloc(message->arena, file->call->n_criteria * sizeof *event->results);
    for (size_t i = 0; status == OK && i < file->call->n_criteria; i++) {
        status = settle(message, file, file->call->criteria[i], &event->results[i]);
        if (status == OK)
            event->total += event->results[i]->weight * event->results[i]->hundredths;
    }
    event->n_results = file->call->n_criteria;
    return status;
}

status_t rule_complete(struct message *message, const struct case_file *file,
                       const CompleteEvaluation *command)
{
    status_t status = may_change_scores(message, file, "completed");
    if (status == OK)
        status = is_first_reader(message, file, "complete its evaluation");
    if (status == OK)
        status = needs_text(message, file, "ordinary_operation_note", command->ordinary_operation_note);
    if (status == OK)
        status = needs_text(message, file, "earlier_project_note", command->earlier_project_note);
    if (status == OK)
        status = needs_text(message, file, "reason", command->reason);

    EvaluationCompleted event = EVALUATION__V1__EVALUATION_COMPLETED__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)file->call_id;
    event.evaluation_version = file->evaluation_version + 1;
    event.not_ordinary_operation = command->not_ordinary_operation;
    event.ordinary_operation_note = command->ordinary_operation_note;
    event.earlier_project_shown = command->earlier_project_shown;
    event.earlier_project_note = command->earlier_project_note;
    event.reason = command->reason;
    if (status == OK)
        status = add_results(message, file, &event);
    if (status != OK)
        return status;
    add_readers(message, file, &event);

    size_t size = protobuf_c_message_get_packed_size(&event.base);
    if (size > LIMIT_EVENT_BYTES - EVENT_ROOM)
        return fail(message, REFUSED,
                    "the reasons on application %s are %zu bytes together and at most %d are allowed: "
                    "shorten some",
                    file->id, size, LIMIT_EVENT_BYTES - EVENT_ROOM);
    emit(message, &event);
    return OK;
}

// ---------------------------------------------------------------------------------- recommendation

static status_t amount_fits(struct message *message, const struct case_file *file, int64_t amount_ore)
{
    if (amount_ore <= 0 || !money_whole(amount_ore))
        return fail(message, REFUSED,
                    "amount_ore %lld for application %s is not an amount in whole kroner above zero",
                    (long long)amount_ore, file->id);
    if (amount_ore > file->applied_ore)
        return fail(
            message, REFUSED, "amount_ore: %s for application %s is more than the %s that were applied for",
            money_text(message->arena, amount_ore), file->id, money_text(message->arena, file->applied_ore));
    if (amount_ore % file->call->granularity_ore != 0)
        return fail(message, REFUSED, "amount_ore: %s for application %s is no whole multiple of %s",
                    money_text(message->arena, amount_ore), file->id,
                    money_text(message->arena, file->call->granularity_ore));
    return OK;
}

static status_t recommendation_fits(struct message *message, const struct case_file *file,
                                    const Recommend *command)
{
    if (!command->award && command->amount_ore != 0)
        return fail(message, REFUSED, "amount_ore must be 0 when refusal of application %s is recommended",
                    file->id);
    status_t status = command->award ? amount_fits(message, file, command->amount_ore) : OK;
    if (status == OK)
        status = needs_text(message, file, "reason", command->reason);
    if (status == OK && command->award && command->amount_ore < file->applied_ore)
        status = needs_text(message, file, "cuts", command->cuts);
    return status == OK ? text_fits(message, file, "cuts", command->cuts, LIMIT_TEXT_BYTES) : status;
}

status_t rule_recommend(struct message *message, const struct case_file *file, const Recommend *command)
{
    status_t status = may_act(message, file, STATE(EVALUATED), "recommended");
    if (status == OK)
        status = is_first_reader(message, file, "recommend");
    if (status == OK)
        status = recommendation_fits(message, file, command);
    if (status != OK)
        return status;

    RecommendationMade event = EVALUATION__V1__RECOMMENDATION_MADE__INIT;
    event.application_id = command->application_id;
    event.call_id = (char *)file->call_id;
    event.recommendation_version = file->recommendation_version + 1;
    event.evaluation_version = file->evaluation_version;
    event.award = command->award;
    event.amount_ore = command->amount_ore;
    event.applied_ore = file->applied_ore;
    event.reason = command->reason;
    event.cuts = command->cuts;
    event.recommended_by = message->actor->subject;
    emit(message, &event);
    return OK;
}

status_t rule_return(struct message *message, const struct case_file *file,
                     const ReturnRecommendation *command)
{
    status_t status = may_act(message, file, STATE(RECOMMENDED), "returned");
    if (status != OK)
        return status;
    if (is_actor(message, file->recommended_by))
        return fail(message, REFUSED, "you recommended application %s: another must return it", file->id);
    status = needs_text(message, file, "note", command->note);
    if (status != OK)
        return status;

    RecommendationReturned event = EVALUATION__V1__RECOMMENDATION_RETURNED__INIT;
    event.application_id = command->application_id;
    event.note = command->note;
    emit(message, &event);
    return OK;
}

// ---------------------------------------------------------------------------------- others' events

void rule_open(struct message *message, const struct case_file *file, const ApplicationSubmitted *submitted,
               bool late)
{
    if (file->known)
        return;
    CaseOpened event = EVALUATION__V1__CASE_OPENED__INIT;
    event.application_id = submitted->application_id;
    event.call_id = submitted->call_id;
    event.organisation_number = submitted->organisation_number;
    event.late = late;
    event.applied_ore = submitted->applied_ore;
    emit(message, &event);
}

// Also one that a head has rejected for nothing but lateness: it is not late any more.
void rule_became_timely(struct message *message, const struct case_file *file)
{
    if (file->known && (file->state == LATE_UNDECIDED || (file->state == REJECTED && file->rejected_late)))
        emit_admitted(message, file, EVALUATION__V1__LATE_REASON__PORTAL_FAULT,
                      "the deadline was extended for all");
}

void rule_withdrawn(struct message *message, const struct case_file *file,
                    const ApplicationWithdrawn *withdrawn)
{
    if (!file->known || file->state == CLOSED || file->state == REJECTED)
        return;
    CaseClosed event = EVALUATION__V1__CASE_CLOSED__INIT;
    event.application_id = withdrawn->application_id;
    event.reason = withdrawn->reason;
    emit(message, &event);
}

// ----------------------------------------------------------------------------------- who sees what

static bool is_auditor(const struct message *message)
{
    return message->actor->role == BUS__V1__ACTOR__ROLE__AUDITOR;
}

status_t rule_see(struct message *message, const struct case_file *file)
{
    status_t status = is_known(message, file);
    if (status != OK || is_auditor(message))
        return status;
    status = is_impartial(message, file);
    return status == OK ? call_has_closed(message, file) : status;
}

bool rule_sees_score(const struct message *message, const struct case_file *file,
                     const struct given_score *score)
{
    if (is_auditor(message) || is_actor(message, score->person) || file->state != ELIGIBLE)
        return true;
    bool all_in = place_of(file, message->actor->subject) > 0;
    for (size_t i = 0; i < file->call->n_criteria; i++)
        all_in = all_in && score_of(file, message->actor->subject, file->call->criteria[i]->id);
    return all_in;
}
