// ask: the console's side of the bus: one question at a time, and what to say when there is no good answer.
#include "console.h"

#include "clock/clock.h"
#include "env/env.h"
#include "limits/limits.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <errno.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define POLL_MS 100

const char *const service_names[] = {"intake",  "approval",  "evaluation", "allocation",
                                     "payment", "reporting", NULL};

// The contract lies where TILDEL_PROTOSET says, else where it was installed, else beside the build tree's
// executable.
static const char *protoset_path(arena_t *arena)
{
    const char *path = env_or("TILDEL_PROTOSET", NULL);
    char self[PATH_MAX];

    if (path != NULL)
        return path;
    ssize_t length = readlink("/proc/self/exe", self, sizeof self - 1);
    self[length > 0 ? length : 0] = '\0';
    char *folder = dirname(self);
    const char *places[] = {
        arena_printf(arena, "%s/../../proto/tildel.protoset", folder),
        arena_printf(arena, "%s/../share/tildel/tildel.protoset", folder),
    };
    for (size_t i = 0; i < sizeof places / sizeof places[0]; i++)
        if (access(places[i], R_OK) == 0)
            return places[i];
    return PROTOSET_INSTALLED;
}

// What an answer that is not OK means to whoever asked.
static int tell_refusal(const struct console *console, const char *type)
{
    const Bus__V1__Reply *reply = console->answer.reply;

    switch (reply->status) {
    case BUS__V1__REPLY__STATUS__OK:
        return EXIT_DONE;
    case BUS__V1__REPLY__STATUS__REFUSED:
        return fault(EXIT_REFUSED, "%s", reply->reason);
    case BUS__V1__REPLY__STATUS__UNAVAILABLE:
    case BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED:
        return fault(EXIT_SILENCE, "%s was not taken: %s", type, reply->reason);
    case BUS__V1__REPLY__STATUS__POISON:
        return fault(EXIT_REFUSED, "%s cannot be handled: %s", type, reply->reason);
    case BUS__V1__REPLY__STATUS__UNSPECIFIED:
    case _BUS__V1__REPLY__STATUS_IS_INT_SIZE:
        break;
    }
    return fault(EXIT_REFUSED, "%s got an answer of an unknown kind", type);
}

static bool service_status(struct console *console, const char *service, Service__V1__Status **ret)
{
    Service__V1__GetStatus request = SERVICE__V1__GET_STATUS__INIT;

    return ask_message(console, service, uuid_new(console->arena, clock_real_us()), &request,
                       &service__v1__status__descriptor, ret) == EXIT_DONE;
}

// ---------------------------------------------------------------------------------------------------- public

bus_t *console_bus(struct console *console)
{
    static const char *const needed[] = {"BUS_BROKER", "BUS_KEYS"};

    if (console->bus != NULL)
        return console->bus;
    for (size_t i = 0; i < sizeof needed / sizeof needed[0]; i++)
        if (env_or(needed[i], NULL) == NULL)
            exit(fault(EXIT_REFUSED,
                       "%s is not set: where is the stack? deploy/up writes a file of settings, .run/env",
                       needed[i]));
    struct bus_config config = bus_config_from_env("console");
    const char *key = arena_printf(console->ground, "%s/%s.secret.zpl", config.keys, config.name);
    if (access(key, R_OK) != 0)
        exit(fault(EXIT_REFUSED, "the key '%s' cannot be read: %s: %s", config.name, key, strerror(errno)));
    console->bus = bus_connect(&config);
    return console->bus;
}

protojson_t *console_contract(struct console *console)
{
    const char *why;

    if (console->contract == NULL)
        console->contract = protojson_open(console->ground, protoset_path(console->ground), &why);
    if (console->contract == NULL)
        exit(fault(EXIT_REFUSED, "%s", why));
    return console->contract;
}

const char *command_id(struct console *console, const char *step)
{
    const char *id = option_text(console, "id");

    if (id == NULL)
        return uuid_new(console->arena, clock_real_us());
    return step == NULL ? id : uuid_from(console->arena, arena_printf(console->arena, "%s %s", id, step));
}

const char *service_of(arena_t *arena, const char *type)
{
    char *service = arena_text(arena, type);

    service[strcspn(service, ".")] = '\0';
    return strcmp(service, "bus") == 0 ? "broker" : service;
}

int ask_bytes(struct console *console, const char *service, const char *id, const char *type,
              const uint8_t *body, size_t size)
{
    if (service == NULL)
        service = service_of(console->arena, type);
    if (size > LIMIT_FRAME_BYTES)
        return fault(EXIT_REFUSED, "%s is %zu bytes long; one message may have %d", type, size,
                     LIMIT_FRAME_BYTES);
    bool answered = bus_call(console_bus(console), console->arena, service, id, type, console->actor,
                             console->timeout_ms, body, size, &console->answer);
    if (!answered && stop_wanted(console))
        return fault(EXIT_SILENCE, "stopped before %s answered %s (id %s)", service, type, id);
    if (!answered && console->answer.reply == NULL)
        return fault(EXIT_SILENCE, "%s did not answer %s within %u seconds (id %s)", service, type,
                     console->timeout_ms / 1000, id);
    return tell_refusal(console, type);
}

int ask_message(struct console *console, const char *service, const char *id, const void *request,
                const ProtobufCMessageDescriptor *type, void *ret)
{
    const ProtobufCMessage *base = request;
    size_t size;
    uint8_t *body = message_encode(console->arena, request, &size);

    int code = ask_bytes(console, service, id, base->descriptor->name, body, size);
    if (code != EXIT_DONE || type == NULL)
        return code;
    const struct incoming *answer = &console->answer;
    if (strcmp(answer->reply->type, type->name) != 0)
        return fault(EXIT_REFUSED, "%s was answered by a '%s' instead of a %s", base->descriptor->name,
                     answer->reply->type, type->name);
    console->message.reason = NULL;
    if (message_decode(&console->message, type, answer->body, answer->body_size, ret) != OK)
        return fault(EXIT_REFUSED, "the answer to %s cannot be read: %s", base->descriptor->name,
                     console->message.reason);
    return EXIT_DONE;
}

int query(struct console *console, const void *request, const ProtobufCMessageDescriptor *type, void *ret)
{
    return ask_message(console, NULL, uuid_new(console->arena, clock_real_us()), request, type, ret);
}

void query_ahead(struct console *console, const char *id, const void *request)
{
    const char *type = ((const ProtobufCMessage *)request)->descriptor->name;
    size_t size;
    const uint8_t *body = message_encode(console->arena, request, &size);

    bus_call_ahead(console_bus(console), service_of(console->arena, type), id, type, console->actor,
                   console->timeout_ms, body, size);
}

int print_answer(struct console *console)
{
    const struct incoming *answer = &console->answer;
    const char *type = answer->reply->type;

    if (type[0] == '\0') {
        puts("{}");
        return EXIT_DONE;
    }
    char *text = protojson_decode(console_contract(console), console->arena, type, answer->body,
                                  answer->body_size, true);
    if (text == NULL)
        return fault(EXIT_REFUSED, "the answer is a %s, which this contract cannot read", type);
    fputs(text, stdout);
    return EXIT_DONE;
}

int read_head(struct console *console, const Eventlog__V1__Head **ret)
{
    Eventlog__V1__GetHead request = EVENTLOG__V1__GET_HEAD__INIT;

    return query(console, &request, &eventlog__v1__head__descriptor, ret);
}

pages_t *pages_begin(struct console *console, uint64_t after, uint64_t until)
{
    return pages_new(console_bus(console), console->actor, after, until, console->timeout_ms);
}

int pages_read(struct console *console, pages_t *pages, const Eventlog__V1__Page **ret)
{
    arena_reset(console->arena);
    console->message.reason = NULL;
    status_t status = pages_next(pages, &console->message, ret);
    if (status != OK && stop_wanted(console))
        return fault(EXIT_REFUSED, "stopped while the log was read");
    return status == OK ? EXIT_DONE
                        : fault(status == RETRY ? EXIT_SILENCE : EXIT_REFUSED, "%s", console->message.reason);
}

int read_page(struct console *console, uint64_t after, uint32_t limit, const Eventlog__V1__Page **ret)
{
    Eventlog__V1__Read request = EVENTLOG__V1__READ__INIT;

    request.after = after;
    request.limit = limit < LIMIT_PAGE_ENTRIES ? limit : LIMIT_PAGE_ENTRIES;
    return query(console, &request, &eventlog__v1__page__descriptor, ret);
}

bool wait_heard(struct console *console, const char *from, const char *to, uint32_t timeout_ms)
{
    int64_t until_ms = clock_stopwatch_ms() + timeout_ms;
    Service__V1__Status *status;
    const Eventlog__V1__Head *log = NULL;
    bool sent = false, heard = false;

    do {
        if (!sent) {
            if (!service_status(console, from, &status))
                return false;
            sent = status->unsent == 0;
            if (sent && read_head(console, &log) != EXIT_DONE)
                return false;
        }
        if (sent) {
            if (!service_status(console, to, &status))
                return false;
            heard = status->position >= log->position;
        }
        if (!heard)
            nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    } while (!heard && clock_stopwatch_ms() < until_ms);
    return heard;
}

int source_argument(struct console *console, const char *path, struct source *ret)
{
    const char *why;

    if (!source_read(console->arena, path, ret, &why) || !source_parse(console->arena, ret, &why))
        return fault(EXIT_REFUSED, "%s", why);
    return EXIT_DONE;
}
