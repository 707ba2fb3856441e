// What many rules ask, and how they say no.
#include "rules.h"

#include "values/values.h"

#include <string.h>

static const char *const state_texts[] = {
    [GRANT_UNDECIDED] = "not decided", [GRANT_ON_RESERVE] = "on the reserve list",
    [GRANT_REFUSED] = "refused",       [GRANT_AWARDED] = "awarded and has no letter yet",
    [GRANT_OFFERED] = "offered",       [GRANT_MISSED] = "offered and was not accepted in time",
    [GRANT_ACCEPTED] = "accepted",     [GRANT_DECLINED] = "declined",
    [GRANT_LAPSED] = "lapsed",         [GRANT_RENOUNCED] = "renounced",
};

const char *state_text(enum grant_state state)
{
    return state_texts[state];
}

bool text_is_blank(const char *text)
{
    return text[strspn(text, " \t\n")] == '\0';
}

status_t text_fits(struct message *message, const char *field, const char *text, size_t most, const char *id)
{
    if (strlen(text) > most)
        return fail(message, REFUSED, "%s for %s is %zu bytes long: at most %zu are allowed", field, id,
                    strlen(text), most);
    return OK;
}

status_t needs_text(struct message *message, const char *field, const char *text, const char *id)
{
    if (text_is_blank(text))
        return fail(message, REFUSED, "%s is missing: say it in words for %s", field, id);
    return text_fits(message, field, text, LIMIT_TEXT_BYTES, id);
}

status_t call_is_known(struct message *message, const struct call *call)
{
    if (!call->known)
        return fail(message, REFUSED, "call_id: %s is not the id of a published call", call->id);
    return OK;
}

status_t grant_is_known(struct message *message, const struct grant *grant)
{
    if (!grant->known)
        return fail(message, REFUSED, "application_id: %s is not the id of a delivered application",
                    grant->id);
    return OK;
}

status_t grant_is_in(struct message *message, const struct grant *grant, unsigned states, const char *what)
{
    status_t status = grant_is_known(message, grant);
    if (status == OK && !(states & STATE(grant->state)))
        status = fail(message, REFUSED, "the grant of application %s is %s, so it can not be %s", grant->id,
                      state_text(grant->state), what);
    return status;
}

status_t actor_is_lead(struct message *message, const struct grant *grant)
{
    status_t status = grant_is_known(message, grant);
    if (status == OK && strcmp(message->actor->organisation, grant->organisation_number) != 0)
        status = fail(message, REFUSED, "organisation %s is not the lead of application %s: %s is",
                      message->actor->organisation, grant->id, grant->organisation_number);
    return status;
}

const char *money(struct message *message, int64_t ore)
{
    return money_text(message->arena, ore);
}

char *written_form(const struct grant *grant, const Text *text)
{
    return !text ? "" : grant->nynorsk ? text->nn : text->nb;
}

// Is the event small enough to be stored?
status_t event_fits(struct message *message, const ProtobufCMessage *event, const char *what, const char *id)
{
    size_t size = protobuf_c_message_get_packed_size(event);
    if (size > LIMIT_EVENT_BYTES - EVENT_ROOM)
        return fail(message, REFUSED,
                    "%s of %s would be %zu bytes and at most %d are allowed: shorten its texts", what, id,
                    size, LIMIT_EVENT_BYTES - EVENT_ROOM);
    return OK;
}
