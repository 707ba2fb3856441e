// send: any command or query of the contract, written as JSON; one on the command line, or thousands in a
// stream.
#include "console.h"

#include "clock/clock.h"
#include "limits/limits.h"
#include "values/values.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// The body of `tildel send`: an argument, @FILE, or - for standard input; nothing means {}.
static int read_body(struct console *console, struct source *ret)
{
    const char *text = console->n_arguments > 1 ? console->arguments[1] : "{}";
    const char *why;

    if (text[0] == '@')
        return source_argument(console, text + 1, ret);
    if (strcmp(text, "-") == 0)
        return source_argument(console, text, ret);
    *ret = (struct source){.name = "", .text = text, .size = strlen(text)};
    if (!source_parse(console->arena, ret, &why))
        return fault(EXIT_REFUSED, "%s", why);
    return EXIT_DONE;
}

static int send_one(struct console *console)
{
    const char *type = console->arguments[0];
    struct source source;
    uint8_t *body;
    size_t size;
    const char *why;

    if (!protojson_knows(console_contract(console), type))
        return fault(EXIT_USAGE, "there is no message %s in the contract; see proto/", type);
    int code = read_body(console, &source);
    if (code != EXIT_DONE)
        return code;
    bool well = protojson_encode(console_contract(console), console->arena, type, &source, NULL, &body, &size,
                                 &why);
    source_close(&source);
    if (!well)
        return fault(EXIT_REFUSED, "%s", why);
    code = ask_bytes(console, option_text(console, "service"), command_id(console, NULL), type, body, size);
    return code == EXIT_DONE ? print_answer(console) : code;
}

// ---------------------------------------------------------------------------------------------------- stream

// A line of the stream, and what became of it.
struct line {
    struct source source;
    const char *type;
    const char *id;
    const char *service;
    actor_t actor;
    bool has_actor;
    uint8_t *body;
    size_t size;
    const char *status;  // as in bus.v1.Reply.Status; NOT_SENT: the line is wrong; SILENCE: no answer in time
    const char *reason;
};

// A member that must be a string when it is there; false when it is something else.
static bool text_member(const struct line *line, const char *key, const char **ret)
{
    const json_t *member = json_object_get(line->source.root, key);

    if (member == NULL)
        return true;
    *ret = json_string_value(member);
    return *ret != NULL;
}

// Take the line apart. False with line->reason set.
static bool open_line(struct console *console, struct line *line)
{
    static const char *const keys[] = {"type", "id", "as", "service", "body"};
    const char *as = NULL, *key;
    json_t *member;

    if (!source_parse(console->arena, &line->source, &line->reason))
        return false;
    json_object_foreach(line->source.root, key, member) {
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            known = known || strcmp(key, keys[i]) == 0;
        if (!known) {
            line->reason = arena_printf(
                console->arena, "'%s' is not a key of a line; type, id, as, service and body are", key);
            return false;
        }
    }
    line->reason = "a line must be an object with the strings type, id, as, service and the object body";
    if (!text_member(line, "type", &line->type) || !text_member(line, "id", &line->id) ||
        !text_member(line, "as", &as) || !text_member(line, "service", &line->service) || line->type == NULL)
        return false;
    line->reason = "id must be a UUID in 36 lower-case characters";
    if (line->id != NULL && !uuid_valid(line->id))
        return false;
    line->has_actor = as != NULL;
    if (as != NULL && !actor_parse(console->arena, as, &line->actor, &line->reason))
        return false;
    if (json_object_get(line->source.root, "body") == NULL)
        json_object_set_new(line->source.root, "body", json_object());
    if (!protojson_encode(console_contract(console), console->arena, line->type, &line->source, "body",
                          &line->body, &line->size, &line->reason))
        return false;
    line->reason = "the body is longer than one message may be";
    return line->size <= LIMIT_FRAME_BYTES;
}

static void ask_line(struct console *console, struct line *line)
{
    const actor_t *actor = line->has_actor ? &line->actor : console->actor;
    const char *service = line->service != NULL ? line->service : service_of(console->arena, line->type);

    if (line->id == NULL)
        line->id = uuid_new(console->arena, clock_real_us());
    bool answered = bus_call(console_bus(console), console->arena, service, line->id, line->type, actor,
                             console->timeout_ms, line->body, line->size, &console->answer);
    const Bus__V1__Reply *reply = console->answer.reply;
    if (!answered && reply == NULL) {
        line->status = "SILENCE";
        line->reason = "no answer in time";
        return;
    }
    const ProtobufCEnumValue *status = protobuf_c_enum_descriptor_get_value(
        &bus__v1__reply__status__descriptor, reply->status);
    line->status = status != NULL ? status->name : "UNSPECIFIED";
    line->reason = reply->reason;
}

static json_t *answer_body(struct console *console, const struct line *line)
{
    const struct incoming *answer = &console->answer;

    if (strcmp(line->status, "OK") != 0 || answer->reply->type[0] == '\0')
        return json_object();
    const char *text = protojson_decode(console_contract(console), console->arena, answer->reply->type,
                                        answer->body, answer->body_size, false);
    return text != NULL ? json_loads(text, 0, NULL) : json_object();
}

static void print_line(struct console *console, const struct line *line)
{
    bool answered = console->answer.reply != NULL;
    json_t *output = json_pack("{s:s, s:s, s:s, s:s, s:o}", "id", line->id != NULL ? line->id : "", "status",
                               line->status, "reason", line->reason, "type",
                               answered ? console->answer.reply->type : "", "body",
                               answer_body(console, line));

    json_dumpf(output, stdout, JSON_COMPACT);
    fputc('\n', stdout);
    fflush(stdout);
    json_decref(output);
}

static void stream_line(struct console *console, const char *text, size_t size, int *worst)
{
    struct line line = {.source = {.name = "", .text = text, .size = size}, .status = "NOT_SENT"};

    console->answer = (struct incoming){.kind = INCOMING_NOTHING};
    if (open_line(console, &line))
        ask_line(console, &line);
    if (strcmp(line.status, "SILENCE") == 0)
        *worst = EXIT_SILENCE;
    else if (strcmp(line.status, "NOT_SENT") == 0 && *worst == EXIT_DONE)
        *worst = EXIT_REFUSED;
    print_line(console, &line);
    source_close(&line.source);
    arena_reset(console->arena);
}

static int send_stream(struct console *console)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t size;
    int worst = EXIT_DONE;

    if (console->n_arguments > 0)
        return fault(EXIT_USAGE,
                     "--stream takes its commands from standard input, not from the command line");
    while ((size = getline(&text, &room, stdin)) >= 0)
        if (strspn(text, " \t\r\n") < (size_t)size)
            stream_line(console, text, (size_t)size, &worst);
    free(text);
    return worst;
}

static int run_send(struct console *console)
{
    if (option_text(console, "stream") != NULL)
        return send_stream(console);
    if (console->n_arguments == 0)
        return fault(EXIT_USAGE, "'send' takes TYPE and its JSON, or --stream; see tildel send --help");
    return send_one(console);
}

static const struct option_row send_options[] = {
    {"service", "NAME", "which service to ask, where the type does not say it (finance.v1, service.v1)"},
    {"stream", NULL, "take commands from standard input, one JSON object a line"},
    {NULL, NULL, NULL},
};

const struct command commands_send[] = {
    {"send", "TYPE [JSON|@FILE|-]", 0, 2,
     "send any command or query of the contract, and print the answer as JSON",
     "TYPE is a full name of proto/, such as intake.v1.Withdraw. JSON is ProtoJSON with the contract's "
     "field names; an instant may also be written as \"2024-06-15T00:00:00+02:00\". Without JSON the "
     "message is empty.\n\n"
     "With --stream each line of standard input is one object\n"
     "  {\"type\": \"intake.v1.Withdraw\", \"body\": {...}, \"as\": \"per:APPROVER:958935420\", \"id\": "
     "\"...\", \"service\": \"...\"}\n"
     "of which only type is required, and each is answered, in order, by one line\n"
     "  {\"id\": \"...\", \"status\": \"OK\", \"reason\": \"\", \"type\": \"...\", \"body\": {...}}\n"
     "whose status is one of bus.v1.Reply.Status, or NOT_SENT when the line was wrong, or SILENCE when no "
     "answer came in time. The exit code is 1 when a line was not sent, 3 when one had no answer; a refusal "
     "is an answer.",
     send_options, run_send},
    {NULL},
};
