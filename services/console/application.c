// application: write an application, ask for approval, sign it, take it back.
#include "console.h"
#include "receipt.h"
#include "table.h"

#include "approval_v1.pb-c.h"
#include "clock/clock.h"
#include "intake_v1.pb-c.h"
#include "values/values.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

#define POLL_MS 100

// What a file says of an application.
struct filed {
    const char *application_id;  // NULL: not there
    const char *call_id;
    Intake__V1__Content *content;
};

// ------------------------------------------------------------------------------------------------- the file

static int check_keys(const struct source *source)
{
    static const char *const keys[] = {"application_id", "call_id", "content"};
    const char *key;
    json_t *member;

    json_object_foreach(source->root, key, member)
    {
        bool known = false;
        for (size_t i = 0; i < sizeof keys / sizeof keys[0]; i++)
            known = known || strcmp(key, keys[i]) == 0;
        if (!known)
            return fault(
                EXIT_REFUSED, "%s line %zu: '%s' is not known here; application_id, call_id and content are",
                source->name, source_line(source, source_find(source, &(struct step){key, 0}, 1)), key);
    }
    return EXIT_DONE;
}

// Either {"application_id", "call_id", "content"}, or the content alone.
static int open_file(struct console *console, const struct source *source, struct filed *ret)
{
    const char *type = intake__v1__content__descriptor.name;
    bool wrapped = json_object_get(source->root, "content") != NULL;
    uint8_t *body;
    size_t size;
    const char *why;

    int code = wrapped ? check_keys(source) : EXIT_DONE;
    if (code != EXIT_DONE)
        return code;
    if (!protojson_encode(console_contract(console), console->arena, type, source, wrapped ? "content" : NULL,
                          &body, &size, &why))
        return fault(EXIT_REFUSED, "%s", why);
    if (message_decode(&console->message, &intake__v1__content__descriptor, body, size, &ret->content) != OK)
        return fault(EXIT_REFUSED, "%s: %s", source->name, console->message.reason);
    const char *id = json_string_value(json_object_get(source->root, "application_id"));
    const char *call = json_string_value(json_object_get(source->root, "call_id"));
    ret->application_id = wrapped && id != NULL ? arena_text(console->arena, id) : NULL;
    ret->call_id = wrapped && call != NULL ? arena_text(console->arena, call) : NULL;
    return EXIT_DONE;
}

static int read_file(struct console *console, struct filed *ret)
{
    struct source source;

    int code = source_argument(console, console->arguments[0], &source);
    if (code != EXIT_DONE)
        return code;
    code = open_file(console, &source, ret);
    source_close(&source);
    if (code != EXIT_DONE)
        return code;
    if (option_text(console, "application") != NULL)
        ret->application_id = option_text(console, "application");
    if (option_text(console, "call") != NULL)
        ret->call_id = option_text(console, "call");
    if (ret->application_id != NULL && !uuid_valid(ret->application_id))
        return fault(EXIT_REFUSED, "application_id must be a UUID in 36 lower-case characters, not '%s'",
                     ret->application_id);
    return EXIT_DONE;
}

// ---------------------------------------------------------------------------------------------------- submit

static int get_application(struct console *console, const char *id, Intake__V1__Application **ret)
{
    Intake__V1__GetApplication request = INTAKE__V1__GET_APPLICATION__INIT;

    request.application_id = (char *)id;
    return query(console, &request, &intake__v1__application__descriptor, ret);
}

static int start_draft(struct console *console, struct filed *filed)
{
    Intake__V1__StartDraft command = INTAKE__V1__START_DRAFT__INIT;

    if (filed->call_id == NULL)
        return fault(EXIT_USAGE, "which call? say call_id in the file, or --call");
    if (filed->application_id == NULL)
        filed->application_id = option_text(console, "id") != NULL
                                    ? command_id(console, "application")
                                    : uuid_new(console->arena, clock_real_us());
    command.application_id = (char *)filed->application_id;
    command.call_id = (char *)filed->call_id;
    return ask_message(console, NULL, command_id(console, "start"), &command, NULL, NULL);
}

static int save_draft(struct console *console, const struct filed *filed, uint32_t version)
{
    Intake__V1__SaveDraft command = INTAKE__V1__SAVE_DRAFT__INIT;

    command.application_id = (char *)filed->application_id;
    command.expected_version = version;
    command.content = filed->content;
    return ask_message(console, NULL, command_id(console, "save"), &command, NULL, NULL);
}

static int request_approval(struct console *console, const char *application_id, uint32_t version)
{
    Intake__V1__RequestApproval command = INTAKE__V1__REQUEST_APPROVAL__INIT;

    command.application_id = (char *)application_id;
    command.expected_version = version;
    return ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL);
}

static int print_waiting(struct console *console, const char *application_id)
{
    Intake__V1__Application *application;

    int code = get_application(console, application_id, &application);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    printf("application %s of %s to %s\n", application_id, application->organisation_number,
           application->call_id);
    if (application->state == INTAKE__V1__APPLICATION__STATE__AWAITING_APPROVAL)
        printf("version %u with hash %s waits for the signature of who may sign for %s:\n"
               "  tildel application approve %s --as SUBJECT:APPROVER:%s\n",
               application->content_version, application->content_sha256, application->organisation_number,
               application_id, application->organisation_number);
    else
        printf("version %u is saved\n", application->content_version);
    for (size_t i = 0; i < application->n_missing; i++)
        printf("missing: %s\n", application->missing[i]);
    return EXIT_DONE;
}

static int run_submit(struct console *console)
{
    Intake__V1__Application *application;
    struct filed filed = {NULL};
    bool begun = option_text(console, "continue") != NULL;
    uint32_t version = 0;

    int code = read_file(console, &filed);
    if (code == EXIT_DONE && begun && filed.application_id == NULL)
        code = fault(EXIT_USAGE,
                     "--continue needs an application: application_id in the file, or --application");
    if (code == EXIT_DONE)
        code = begun ? get_application(console, filed.application_id, &application)
                     : start_draft(console, &filed);
    if (code == EXIT_DONE && begun)
        version = application->content_version;
    if (code == EXIT_DONE)
        code = save_draft(console, &filed, version);
    if (code == EXIT_DONE && option_text(console, "draft") == NULL) {
        code = request_approval(console, filed.application_id, version + 1);
        if (code != EXIT_DONE)
            fault(code,
                  "application %s is saved as a draft; mend what is missing and submit it with --continue",
                  filed.application_id);
    }
    return code == EXIT_DONE ? print_waiting(console, filed.application_id) : code;
}

static int run_show(struct console *console)
{
    Intake__V1__Application *application;
    char *content;

    int code = get_application(console, console->arguments[0], &application);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    const ProtobufCEnumValue *state = protobuf_c_enum_descriptor_get_value(
        &intake__v1__application__state__descriptor, application->state);
    printf("application %s of %s to %s: %s, version %u\n", application->application_id,
           application->organisation_number, application->call_id, state->name, application->content_version);
    for (size_t i = 0; i < application->n_confirmed_partners; i++)
        printf("partner %s has confirmed\n", application->confirmed_partners[i]);
    for (size_t i = 0; i < application->n_missing; i++)
        printf("missing: %s\n", application->missing[i]);
    if (application->erased_at_us != 0)
        printf("personal text was erased %s: %s\n", moment_text(console->arena, application->erased_at_us),
               application->erased_ground);
    if (application->content != NULL) {
        size_t size;
        uint8_t *bytes = message_encode(console->arena, application->content, &size);
        content = protojson_decode(console_contract(console), console->arena,
                                   intake__v1__content__descriptor.name, bytes, size, true);
        printf("%s", content);
    }
    return EXIT_DONE;
}

static int run_confirm(struct console *console)
{
    Intake__V1__ConfirmParticipation command = INTAKE__V1__CONFIRM_PARTICIPATION__INIT;
    Intake__V1__Application *application;

    int code = get_application(console, console->arguments[0], &application);
    if (code != EXIT_DONE)
        return code;
    command.application_id = application->application_id;
    command.content_version = application->content_version;
    code = ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    printf("confirmed: takes part in application %s, version %u\n", command.application_id,
           command.content_version);
    return EXIT_DONE;
}

// --------------------------------------------------------------------------------------------------- approve

// The one sign-off of the application that --kind lets through; NULL when there is none, *ret_count says how
// many.
static const Approval__V1__SignOffOpened *pick_sign_off(const struct console *console,
                                                        const Approval__V1__SignOffs *sign_offs,
                                                        size_t *ret_count)
{
    const char *kind = option_text(console, "kind");
    const Approval__V1__SignOffOpened *found = NULL;

    *ret_count = 0;
    for (size_t i = 0; i < sign_offs->n_open; i++) {
        const Approval__V1__SignOffOpened *open = sign_offs->open[i];
        const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(
            &types__v1__sign_off_kind__descriptor, open->kind);
        if (strcmp(open->application_id, console->arguments[0]) != 0 ||
            (kind != NULL && strcmp(kind, value->name) != 0))
            continue;
        found = open;
        (*ret_count)++;
    }
    return found;
}

// Approval hears of what waits for a signature through the log, so a sign-off may be a moment late.
static int find_sign_off(struct console *console, const Approval__V1__SignOffOpened **ret)
{
    Approval__V1__ListSignOffs request = APPROVAL__V1__LIST_SIGN_OFFS__INIT;
    int64_t until_ms = clock_stopwatch_ms() + console->timeout_ms;
    Approval__V1__SignOffs *sign_offs;
    size_t count = 0;

    request.organisation_number = console->actor->organisation;
    do {
        int code = query(console, &request, &approval__v1__sign_offs__descriptor, &sign_offs);
        if (code != EXIT_DONE)
            return code;
        *ret = pick_sign_off(console, sign_offs, &count);
        if (count == 0)
            nanosleep(&(struct timespec){.tv_nsec = POLL_MS * 1000000L}, NULL);
    } while (count == 0 && clock_stopwatch_ms() < until_ms);
    if (count == 0)
        return fault(EXIT_REFUSED, "nothing of application %s waits for a signature of %s",
                     console->arguments[0], console->actor->organisation);
    if (count > 1)
        return fault(
            EXIT_USAGE,
            "several things of application %s wait for signatures: say --kind APPLICATION, ACCEPTANCE "
            "or REPORT",
            console->arguments[0]);
    return EXIT_DONE;
}

// The proof of what was just delivered, where --receipt asks for it. A report's first signature delivers nothing yet.
static int store_receipt(struct console *console, const Approval__V1__SignOffOpened *open)
{
    const char *path = option_text(console, "receipt");
    char *text;

    if (path == NULL)
        return EXIT_DONE;
    int code = receipt_fetch(
        console, open->application_id,
        protobuf_c_enum_descriptor_get_value(&types__v1__sign_off_kind__descriptor, open->kind)->name, &text);
    return code == EXIT_DONE ? receipt_store(path, text) : code;
}

static int run_approve(struct console *console)
{
    Approval__V1__Approve command = APPROVAL__V1__APPROVE__INIT;
    const Approval__V1__SignOffOpened *open;

    if (console->actor->organisation[0] == '\0')
        return fault(EXIT_USAGE, "who signs for whom? say --as SUBJECT:APPROVER:ORGANISATION");
    int code = find_sign_off(console, &open);
    if (code != EXIT_DONE)
        return code;
    command.application_id = open->application_id;
    command.kind = open->kind;
    command.version = open->version;
    command.content_sha256 = open->content_sha256;
    code = ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    printf("signed: %s, version %u, hash %s\n", open->sign_off_id, open->version, open->content_sha256);
    return store_receipt(console, open);
}

static int run_withdraw(struct console *console)
{
    Intake__V1__Withdraw command = INTAKE__V1__WITHDRAW__INIT;

    command.application_id = (char *)console->arguments[0];
    command.reason = (char *)option_text(console, "reason");
    if (command.reason == NULL)
        return fault(EXIT_USAGE, "'application withdraw' needs --reason");
    int code = ask_message(console, NULL, command_id(console, NULL), &command, NULL, NULL);
    if (code != EXIT_DONE || console->json)
        return code == EXIT_DONE ? print_answer(console) : code;
    printf("application %s is withdrawn\n", command.application_id);
    return EXIT_DONE;
}

static const struct option_row submit_options[] = {
    {"call", "CALL", "the call, where the file does not say it"},
    {"application", "UUID", "the application's id, where the file does not say it; else a new one"},
    {"continue", NULL, "the application has been begun: save over its last version"},
    {"draft", NULL, "only save; do not ask for approval"},
    {NULL, NULL, NULL},
};
static const struct option_row approve_options[] = {
    {"kind", "KIND", "APPLICATION, ACCEPTANCE or REPORT, when several wait"},
    {"receipt", "FILE", "write the receipt of the delivery; nothing is overwritten"},
    {NULL, NULL, NULL},
};
static const struct option_row withdraw_options[] = {
    {"reason", "TEXT", "why"},
    {NULL, NULL, NULL},
};

const struct command commands_application[] = {
    {"application submit", "FILE", 1, 1, "write an application and ask for its approval",
     "FILE is {\"application_id\": UUID, \"call_id\": CALL, \"content\": {...}} or the content alone; the "
     "content is an intake.v1.Content. The draft is started, saved and frozen; it is delivered when it has "
     "been signed. As EDITOR or APPROVER of the lead.",
     submit_options, run_submit},
    {"application show", "APPLICATION", 1, 1, "show an application and what it still misses", NULL, NULL,
     run_show},
    {"application confirm", "APPLICATION", 1, 1, "confirm, for a partner, that it takes part", NULL, NULL,
     run_confirm},
    {"application approve", "APPLICATION", 1, 1, "sign what of it waits for a signature",
     "Signs exactly the version that waits: for an application this is its delivery. As APPROVER, "
     "PROJECT_OWNER or SUPERIOR_LEADER of the lead.",
     approve_options, run_approve},
    {"application withdraw", "APPLICATION", 1, 1, "take an application back", NULL, withdraw_options,
     run_withdraw},
    {NULL},
};
