// calls: what is allowed with organisations and calls. Pure, as rules.c, which has the applications.
#include "intake.h"

#include "values/values.h"

#include <string.h>

#define HOUR_US (INT64_C(3600) * 1000 * 1000)

// ------------------------------------------------------------------------------------------- organisations

static void check_organisation(struct faults *faults, const Organisation *organisation, const char *path)
{
    static const char upper[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789";
    const char *number = organisation->municipality_number;

    if (!organisation_number_valid(organisation->organisation_number))
        fault(faults, "%s.organisation_number is \"%.20s\"; it must be 9 digits with the right check digit",
              path, organisation->organisation_number);
    field_line(faults, arena_printf(faults->arena, "%s.name", path), organisation->name);
    if (!field_made_of(organisation->form, upper, 1, 16))
        fault(faults, "%s.form is \"%.20s\"; it must be a form of the register, for example KOMM", path,
              organisation->form);
    if ((*number != '\0' || strcmp(organisation->form, "KOMM") == 0) && !municipality_number_valid(number))
        fault(faults, "%s.municipality_number is \"%.20s\"; it must be the 4 digits of a municipality", path,
              number);
    if (strcmp(organisation->language, "nb") != 0 && strcmp(organisation->language, "nn") != 0 &&
        strcmp(organisation->language, "neutral") != 0)
        fault(faults, "%s.language is \"%.20s\"; it must be nb, nn or neutral", path, organisation->language);
}

static void check_import(struct faults *faults, const ImportOrganisations *command)
{
    field_count(faults, "organisations", command->n_organisations, 1, IMPORT_MOST);
    for (size_t i = 0; i < command->n_organisations && i < IMPORT_MOST; i++) {
        const Organisation *organisation = command->organisations[i];
        check_organisation(faults, organisation, arena_printf(faults->arena, "organisations[%zu]", i));
        for (size_t earlier = 0; earlier < i; earlier++)
            if (strcmp(organisation->organisation_number,
                       command->organisations[earlier]->organisation_number) == 0)
                fault(faults,
                      "organisations[%zu].organisation_number is %.20s, as is [%zu]; each stands once", i,
                      organisation->organisation_number, earlier);
    }
}

static bool organisation_equal(const Organisation *one, const Organisation *other)
{
    return strcmp(one->organisation_number, other->organisation_number) == 0 &&
           strcmp(one->name, other->name) == 0 && strcmp(one->form, other->form) == 0 &&
           strcmp(one->municipality_number, other->municipality_number) == 0 &&
           strcmp(one->language, other->language) == 0;
}

static bool organisation_known(const struct organisations *known, const Organisation *organisation)
{
    for (int i = 0; i < known->count; i++)
        if (organisation_equal(known->all[i], organisation))
            return true;
    return false;
}

status_t rule_import(struct message *message, const struct organisations *known,
                     const ImportOrganisations *command)
{
    struct faults faults = {.arena = message->arena, .complete = true};

    check_import(&faults, command);
    status_t status = faults_refuse(message, &faults, "nothing is imported");
    if (status != OK)
        return status;
    for (size_t i = 0; i < command->n_organisations; i++) {
        if (organisation_known(known, command->organisations[i]))
            continue;
        OrganisationRegistered event = INTAKE__V1__ORGANISATION_REGISTERED__INIT;
        event.organisation_number = command->organisations[i]->organisation_number;
        event.organisation = command->organisations[i];
        emit(message, &event);
    }
    return OK;
}

// --------------------------------------------------------------------------------------------------- calls

static status_t check_definition(struct message *message, const CallDefinition *definition)
{
    struct faults faults = {.arena = message->arena, .complete = true};

    definition_check(&faults, definition);
    return faults_refuse(message, &faults,
                         arena_printf(message->arena, "call %.64s is not published", definition->call_id));
}

static void emit_published(struct message *message, CallDefinition *definition, const char *reason)
{
    CallPublished event = INTAKE__V1__CALL_PUBLISHED__INIT;

    event.call_id = definition->call_id;
    event.definition = definition;
    event.reason = arena_text(message->arena, reason);
    emit(message, &event);
}

status_t rule_publish(struct message *message, const struct call *taken, const PublishCall *command)
{
    CallDefinition *definition = command->definition;

    if (definition == NULL)
        return fail(message, REFUSED, "definition is missing; a call is published whole");
    if (definition->type != TYPES__V1__CALL_DEFINITION__TYPE__MAIN)
        return fail(message, REFUSED,
                    "definition.type of call %.64s is not MAIN; an extra call is opened by OpenExtraCall",
                    definition->call_id);
    if (*definition->parent_call_id != '\0')
        return fail(message, REFUSED,
                    "definition.parent_call_id of call %.64s is set; only an extra call has a parent",
                    definition->call_id);
    if (taken->known)
        return fail(message, REFUSED, "call %.64s is published already; another call needs another call_id",
                    definition->call_id);
    status_t status = check_definition(message, definition);
    if (status == OK)
        emit_published(message, definition, "");
    return status;
}

// An extra call spends what its parent left: same appropriation, and not more than is reserved.
static status_t check_parent(struct message *message, const struct opening *opening,
                             const CallDefinition *definition)
{
    const CallDefinition *parent = opening->parent.definition;

    if (!opening->parent.known)
        return fail(message, REFUSED, "definition.parent_call_id is \"%.64s\", which is not a published call",
                    definition->parent_call_id);
    if (parent->year != definition->year || strcmp(parent->chapter_post, definition->chapter_post) != 0)
        return fail(
            message, REFUSED,
            "call %.64s would spend %.40s of %d; its parent %s has %.40s of %d, and both must be the same",
            definition->call_id, definition->chapter_post, definition->year, parent->call_id,
            parent->chapter_post, parent->year);
    if (opening->reserved_ore == 0)
        return fail(
            message, REFUSED,
            "nothing of the frame of call %s is reserved for call %.64s; a budget holder reserves it first",
            parent->call_id, definition->call_id);
    if (opening->reserved_ore < definition->frame_ore)
        return fail(message, REFUSED,
                    "definition.frame_ore of call %.64s is %s; it must be at most what is reserved, %s",
                    definition->call_id, money_text(message->arena, definition->frame_ore),
                    money_text(message->arena, opening->reserved_ore));
    return OK;
}

status_t rule_open_extra(struct message *message, const struct opening *opening, const OpenExtraCall *command)
{
    CallDefinition *definition = command->definition;

    if (definition == NULL)
        return fail(message, REFUSED, "definition is missing; a call is published whole");
    if (definition->type != TYPES__V1__CALL_DEFINITION__TYPE__EXTRA)
        return fail(message, REFUSED,
                    "definition.type of call %.64s is not EXTRA; a main call is published by PublishCall",
                    definition->call_id);
    if (opening->call.known)
        return fail(message, REFUSED, "call %.64s is published already; another call needs another call_id",
                    definition->call_id);
    status_t status = check_definition(message, definition);
    if (status == OK)
        status = field_reason(message, command->reason);
    if (status == OK)
        status = check_parent(message, opening, definition);
    if (status == OK)
        emit_published(message, definition, command->reason);
    return status;
}

// After the deadline only an outage in its last day can move it, and only within a day.
static status_t check_outage(struct message *message, const struct call *call, const ExtendDeadline *command)
{
    if (message->at_us < call->deadline_at_us)
        return OK;
    if (command->outage_from_at_us == 0)
        return fail(message, REFUSED,
                    "the deadline of call %s passed %s; only a logged outage can still move it", call->id,
                    oslo_text(message->arena, call->deadline_at_us));
    if (message->at_us >= call->deadline_at_us + 24 * HOUR_US)
        return fail(message, REFUSED,
                    "the deadline of call %s passed %s; an outage can move it within 24 hours", call->id,
                    oslo_text(message->arena, call->deadline_at_us));
    if (command->outage_from_at_us >= call->deadline_at_us ||
        command->outage_to_at_us <= call->deadline_at_us - 24 * HOUR_US)
        return fail(message, REFUSED,
                    "the outage is outside the last 24 hours before the deadline of call %s, %s", call->id,
                    oslo_text(message->arena, call->deadline_at_us));
    return OK;
}

static status_t check_extension(struct message *message, const struct call *call,
                                const ExtendDeadline *command)
{
    if (!call->known)
        return fail(message, REFUSED, "call %.64s does not exist", command->call_id);
    if (command->deadline_at_us <= call->deadline_at_us)
        return fail(message, REFUSED, "deadline_at_us of call %s must be later than the present deadline, %s",
                    call->id, oslo_text(message->arena, call->deadline_at_us));
    if (command->deadline_at_us > call->deadline_at_us + 366 * 24 * HOUR_US)
        return fail(message, REFUSED,
                    "deadline_at_us of call %s must be within a year after the present deadline, %s",
                    call->id, oslo_text(message->arena, call->deadline_at_us));
    if (command->outage_from_at_us != 0 && command->outage_to_at_us <= command->outage_from_at_us)
        return fail(message, REFUSED, "outage_to_at_us of call %s must be after outage_from_at_us", call->id);
    if (command->outage_from_at_us != 0 && command->outage_to_at_us > message->at_us)
        return fail(message, REFUSED,
                    "outage_to_at_us of call %s lies ahead; an outage is logged when it is over", call->id);
    return check_outage(message, call, command);
}

status_t rule_extend(struct message *message, const struct extension *extension,
                     const ExtendDeadline *command)
{
    status_t status = check_extension(message, &extension->call, command);
    if (status == OK)
        status = field_reason(message, command->reason);
    if (status != OK)
        return status;

    DeadlineExtended extended = INTAKE__V1__DEADLINE_EXTENDED__INIT;
    extended.call_id = command->call_id;
    extended.deadline_at_us = command->deadline_at_us;
    extended.old_deadline_at_us = extension->call.deadline_at_us;
    extended.reason = command->reason;
    extended.outage_from_at_us = command->outage_from_at_us;
    extended.outage_to_at_us = command->outage_to_at_us;
    emit(message, &extended);
    for (int i = 0; i < extension->count; i++) {
        LateBecameTimely timely = INTAKE__V1__LATE_BECAME_TIMELY__INIT;
        timely.application_id = arena_text(message->arena, extension->late[i]);
        timely.call_id = command->call_id;
        timely.deadline_at_us = command->deadline_at_us;
        emit(message, &timely);
    }
    return OK;
}

status_t rule_close(struct message *message, const struct call *call, const CloseCall *command)
{
    if (!call->known)
        return fail(message, REFUSED, "call %.64s does not exist", command->call_id);
    if (call->closed)
        return fail(message, REFUSED, "call %s is closed already", call->id);
    if (message->at_us < call->deadline_at_us)
        return fail(message, REFUSED, "call %s is open until %s", call->id,
                    oslo_text(message->arena, call->deadline_at_us));

    CallClosed event = INTAKE__V1__CALL_CLOSED__INIT;
    event.call_id = command->call_id;
    event.deadline_at_us = call->deadline_at_us;
    emit(message, &event);
    return OK;
}
