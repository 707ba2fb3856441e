// How evaluation's tables are read and written. One function a statement or an event; no decisions.
#include "evaluation.h"

#include "evaluation_store.sql.h"

#include <string.h>

static const char *keep(struct message *message, const char *text)
{
    return arena_text(message->arena, text);
}

// ---------------------------------------------------------------------------------- loading a case

static status_t load_interests(struct message *message, struct case_file *file)
{
    struct rows rows;
    status_t status = RUN(message, load_interests, &rows, TEXT(file->id));
    if (status != OK)
        return status;
    struct interest *interests = arena_alloc(message->arena, sizeof *interests * (size_t)(rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        interests[i] = (struct interest){.person = row_text(&rows, i, 0),
                                         .conflict = row_int(&rows, i, 1),
                                         .ground = row_text(&rows, i, 2),
                                         .relation = row_bytes(&rows, i, 3)};
    file->interests = interests;
    file->n_interests = rows.count;
    return OK;
}

static status_t load_readers(struct message *message, struct case_file *file)
{
    struct rows rows;
    status_t status = RUN(message, load_readers, &rows, TEXT(file->id));
    for (int i = 0; i < READER_PLACES; i++)
        file->readers[i] = (struct reader){.person = "", .reason = ""};
    for (int i = 0; status == OK && i < rows.count; i++)
        file->readers[row_int(&rows, i, 0) - 1] = (struct reader){.person = row_text(&rows, i, 1),
                                                                  .reason = row_text(&rows, i, 2)};
    return status;
}

static status_t load_scores(struct message *message, struct case_file *file)
{
    struct rows rows;
    status_t status = RUN(message, load_scores, &rows, TEXT(file->id));
    if (status != OK)
        return status;
    struct given_score *scores = arena_alloc(message->arena, sizeof *scores * (size_t)(rows.count + 1));
    for (int i = 0; i < rows.count; i++)
        scores[i] = (struct given_score){.person = row_text(&rows, i, 0),
                                         .place = (uint32_t)row_int(&rows, i, 1),
                                         .criterion = row_text(&rows, i, 2),
                                         .value = (int32_t)row_int(&rows, i, 3),
                                         .reason = row_text(&rows, i, 4)};
    file->scores = scores;
    file->n_scores = rows.count;
    return OK;
}

static status_t load_call(struct message *message, ProtobufCBinaryData definition, struct case_file *file)
{
    if (!definition.data)
        return fail(message, POISON, "call %s of application %s was never heard of", file->call_id, file->id);
    void *call = NULL;
    status_t status = message_decode(message, &types__v1__call_definition__descriptor, definition.data,
                                     definition.len, &call);
    file->call = call;
    return status;
}

status_t store_read_case(struct message *message, const char *application_id, struct case_file *ret)
{
    struct rows rows;
    status_t status = RUN(message, load_case, &rows, TEXT(application_id));
    *ret = (struct case_file){.id = keep(message, application_id), .known = status == OK && rows.count == 1};
    if (status != OK || !ret->known)
        return status;

    ret->call_id = row_text(&rows, 0, 0);
    ret->organisation_number = row_text(&rows, 0, 1);
    ret->state = (enum case_state)row_int(&rows, 0, 2);
    ret->rejected_late = row_int(&rows, 0, 3);
    ret->applied_ore = row_int(&rows, 0, 4);
    ret->checked_by = row_text(&rows, 0, 5);
    ret->unmet = (uint32_t)row_int(&rows, 0, 6);
    ret->reopened = row_int(&rows, 0, 7);
    ret->evaluation_version = (uint32_t)row_int(&rows, 0, 8);
    ret->recommendation_version = (uint32_t)row_int(&rows, 0, 9);
    ret->recommended_by = row_text(&rows, 0, 10);
    ret->call_closed = row_int(&rows, 0, 12);
    ret->nynorsk = row_int(&rows, 0, 13);
    ret->decided = row_int(&rows, 0, 14);

    status = load_call(message, row_bytes(&rows, 0, 11), ret);
    if (status == OK)
        status = load_interests(message, ret);
    if (status == OK)
        status = load_readers(message, ret);
    return status == OK ? load_scores(message, ret) : status;
}

// The lock is a statement of its own, so that what is read after it is what the one before us has committed.
status_t store_load_case(struct message *message, const char *application_id, struct case_file *ret)
{
    status_t status = RUN(message, lock_case, NULL, TEXT(application_id));
    return status == OK ? store_read_case(message, application_id, ret) : status;
}

status_t store_load_content(struct message *message, const char *application_id, Content **ret)
{
    struct rows rows;
    status_t status = RUN(message, load_content, &rows, TEXT(application_id));
    if (status != OK || rows.count == 0)
        return status;
    ProtobufCBinaryData bytes = row_bytes(&rows, 0, 0);
    void *content = NULL;
    status = message_decode(message, &intake__v1__content__descriptor, bytes.data, bytes.len, &content);
    *ret = content;
    return status;
}

status_t store_list_cases(struct message *message, const char *call_id, Cases *ret)
{
    struct rows rows;
    status_t status = RUN(message, list_cases, &rows, TEXT(call_id));
    if (status != OK)
        return status;
    ret->cases = arena_alloc(message->arena, sizeof *ret->cases * (size_t)(rows.count + 1));
    for (int i = 0; i < rows.count; i++) {
        CasesOne *one = arena_alloc(message->arena, sizeof *one);
        evaluation__v1__cases__one__init(one);
        one->application_id = (char *)row_text(&rows, i, 0);
        one->organisation_number = (char *)row_text(&rows, i, 1);
        one->state = (Evaluation__V1__Case__State)row_int(&rows, i, 2);
        one->applied_ore = row_int(&rows, i, 3);
        one->total = row_int(&rows, i, 4);
        one->recommended_ore = row_int(&rows, i, 5);
        ret->cases[ret->n_cases++] = one;
    }
    return OK;
}

// ------------------------------------------------------------------------------------- own events

status_t store_case_opened(struct message *message, const void *body)
{
    const CaseOpened *event = body;
    return RUN(message, open_case, NULL, TEXT(event->application_id), TEXT(event->call_id),
               TEXT(event->organisation_number), INT(event->late ? LATE_UNDECIDED : RECEIVED),
               INT(event->applied_ore));
}

status_t store_case_closed(struct message *message, const void *body)
{
    const CaseClosed *event = body;
    return RUN(message, set_state, NULL, TEXT(event->application_id), INT(CLOSED));
}

status_t store_interest_declared(struct message *message, const void *body)
{
    const InterestDeclared *event = body;
    const ProtobufCBinaryData none = {0, NULL}, seal = event->relation != NULL ? event->relation->seal : none;

    return RUN(message, declare_interest, NULL, TEXT(event->application_id), TEXT(event->person),
               BOOL(event->conflict), TEXT(event->ground),
               BYTES(seal.len > 0 ? seal.data : (uint8_t *)"", seal.len));
}

status_t store_late_admitted(struct message *message, const void *body)
{
    const LateAdmitted *event = body;
    return RUN(message, admit_late, NULL, TEXT(event->application_id), INT(RECEIVED));
}

status_t store_check_answered(struct message *message, const void *body)
{
    const FormalCheckAnswered *event = body;
    int64_t unmet = 0;
    for (size_t i = 0; i < event->n_items; i++)
        if (event->items[i]->answer == EVALUATION__V1__FORMAL_ITEM__ANSWER__NOT_MET)
            unmet |= INT64_C(1) << event->items[i]->item;
    return RUN(message, answer_check, NULL, TEXT(event->application_id),
               INT(event->passed ? ELIGIBLE : FORMALLY_CHECKED), TEXT(message->actor->subject), INT(unmet));
}

status_t store_rejected(struct message *message, const void *body)
{
    const ApplicationRejected *event = body;
    return RUN(message, reject_case, NULL, TEXT(event->application_id), INT(REJECTED),
               TEXT(message->actor->subject), BOOL(event->ground == EVALUATION__V1__GROUND__LATE));
}

status_t store_reader_assigned(struct message *message, const void *body)
{
    const ReaderAssigned *event = body;
    status_t status = RUN(message, assign_reader, NULL, TEXT(event->application_id), INT(event->place),
                          TEXT(event->person), TEXT(event->reason));
    return status == OK
               ? RUN(message, reopen_case, NULL, TEXT(event->application_id), INT(EVALUATED), INT(ELIGIBLE))
               : status;
}

status_t store_score_given(struct message *message, const void *body)
{
    const ScoreGiven *event = body;
    status_t status = RUN(message, give_score, NULL, TEXT(event->application_id), TEXT(event->person),
                          TEXT(event->criterion), INT(event->place), INT(event->value), TEXT(event->reason));
    return status == OK
               ? RUN(message, reopen_case, NULL, TEXT(event->application_id), INT(EVALUATED), INT(ELIGIBLE))
               : status;
}

status_t store_completed(struct message *message, const void *body)
{
    const EvaluationCompleted *event = body;
    return RUN(message, complete_evaluation, NULL, TEXT(event->application_id), INT(EVALUATED),
               INT(event->evaluation_version), INT(event->total));
}

status_t store_recommended(struct message *message, const void *body)
{
    const RecommendationMade *event = body;
    status_t status = RUN(message, add_recommendation, NULL, TEXT(event->application_id),
                          INT(event->recommendation_version), BOOL(event->award), INT(event->amount_ore),
                          TEXT(event->recommended_by));
    return status == OK ? RUN(message, set_recommended, NULL, TEXT(event->application_id), INT(RECOMMENDED),
                              INT(event->recommendation_version))
                        : status;
}

status_t store_returned(struct message *message, const void *body)
{
    const RecommendationReturned *event = body;
    status_t status = RUN(message, return_recommendation, NULL, TEXT(event->application_id),
                          TEXT(message->actor->subject));
    return status == OK ? RUN(message, set_returned, NULL, TEXT(event->application_id), INT(EVALUATED))
                        : status;
}

// ---------------------------------------------------------------------------------- others' events

status_t store_hear_organisation(struct message *message, const void *body)
{
    const OrganisationRegistered *event = body;
    return RUN(message, hear_organisation, NULL, TEXT(event->organisation_number),
               TEXT(event->organisation->language));
}

status_t store_hear_call(struct message *message, const void *body)
{
    const CallPublished *event = body;
    size_t size;
    uint8_t *definition = message_encode(message->arena, event->definition, &size);
    return RUN(message, hear_call, NULL, TEXT(event->call_id), BYTES(definition, size),
               INT(event->definition->deadline_at_us));
}

status_t store_hear_extension(struct message *message, const void *body)
{
    const DeadlineExtended *event = body;
    return RUN(message, hear_extension, NULL, TEXT(event->call_id), INT(event->deadline_at_us));
}

status_t store_hear_closed(struct message *message, const void *body)
{
    const CallClosed *event = body;
    return RUN(message, hear_closed, NULL, TEXT(event->call_id), INT(event->deadline_at_us));
}

status_t store_hear_submitted(struct message *message, const void *body)
{
    const ApplicationSubmitted *event = body;
    size_t size;
    if (!event->content)  // reached from a late submission, whose parts the loop does not look into
        return fail(message, POISON, "application %s was submitted without content", event->application_id);
    uint8_t *content = message_encode(message->arena, event->content, &size);
    return RUN(message, hear_application, NULL, TEXT(event->application_id), TEXT(event->organisation_number),
               TEXT(event->content->language), BYTES(content, size));
}

status_t store_hear_late(struct message *message, const void *body)
{
    const ApplicationSubmittedLate *event = body;
    return store_hear_submitted(message, event->submission);
}

status_t store_hear_award(struct message *message, const void *body)
{
    const AwardDecided *event = body;
    return RUN(message, hear_decision, NULL, TEXT(event->application_id));
}

status_t store_hear_refusal(struct message *message, const void *body)
{
    const ApplicationRefused *event = body;
    return RUN(message, hear_decision, NULL, TEXT(event->application_id));
}
