// usage: the command line: finding the row of the command, its arguments and options; and the help, made from
// the rows.
#include "console.h"

#include "env/env.h"
#include "env/settings.h"
#include "table.h"
#include "values/values.h"
#include "limits/limits.h"

#include <assert.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Who reads the log and looks at the stack without saying a name; it may decide nothing.
#define DEFAULT_ACTOR "operator:OPERATOR"

#define HELP_COLUMNS  100

static const struct option_row common_options[] = {
    {"as", "SUBJECT:ROLE[:ORGANISATION]", "who acts; else TILDEL_ACTOR, else operator:OPERATOR"},
    {"id", "UUID", "id of the command; the same id again has one effect and gets the same answer"},
    {"timeout", "SECONDS", "how long to wait for an answer, 1..120 (10)"},
    {"json", NULL, "write JSON, for programs; amounts in ore, 64-bit numbers as strings"},
    {"help", NULL, "say how to use the command"},
    {NULL, NULL, NULL},
};

// ------------------------------------------------------------------------------------------------------ help

static void print_options(const struct option_row *options)
{
    char left[80];

    for (; options != NULL && options->name != NULL; options++) {
        snprintf(left, sizeof left, "--%s%s%s", options->name, options->value != NULL ? " " : "",
                 options->value != NULL ? options->value : "");
        printf("  %-34s%s%s\n", left, strlen(left) > 33 ? "\n                                    " : "",
               options->help);
    }
}

// Paragraphs, broken between words. A line that begins with a space is an example and stays as it is.
static void print_details(const char *text)
{
    size_t column = 0;

    putchar('\n');
    for (bool example = *text == ' '; *text != '\0';) {
        size_t word = example ? strcspn(text, "\n") : strcspn(text, " \n");
        if (column > 0 && column + 1 + word > HELP_COLUMNS) {
            putchar('\n');
            column = 0;
        }
        column += (size_t)printf("%s%.*s", column > 0 ? " " : "", (int)word, text);
        text += word;
        if (*text == '\n') {
            putchar('\n');
            column = 0;
            example = text[1] == ' ';
        }
        text += *text != '\0';
    }
    putchar('\n');
}

static void print_exit_codes(void)
{
    puts("\nExit codes:\n"
         "  0  done\n"
         "  1  refused, or a fault told in one sentence\n"
         "  2  wrong usage\n"
         "  3  no answer in time: the outcome is unknown; ask again under the same --id\n"
         "  4  differences found, or verification failed");
}

static void print_command_help(const struct command *command)
{
    printf("tildel %s%s%s [OPTIONS]\n  %s\n", command->name, command->arguments[0] != '\0' ? " " : "",
           command->arguments, command->summary);
    if (command->details != NULL)
        print_details(command->details);
    if (command->options != NULL) {
        puts("\nOptions:");
        print_options(command->options);
    }
    puts("\nCommon options:");
    print_options(common_options);
    print_exit_codes();
}

static void print_help(void)
{
    char left[80];

    puts(
        "tildel COMMAND [ARGUMENTS] [OPTIONS]\n"
        "  Give commands to Tildel's services, ask them, follow the log, verify and replay it.\n\nCommands:");
    for (const struct command *const *group = command_groups; *group != NULL; group++)
        for (const struct command *command = *group; command->name != NULL; command++) {
            snprintf(left, sizeof left, "%s %s", command->name, command->arguments);
            printf("  %-34s%s%s\n", left, strlen(left) > 33 ? "\n                                    " : "",
                   command->summary);
        }
    puts("\nOptions of every command:");
    print_options(common_options);
    putchar('\n');
    settings_help(stdout, "console");
    print_exit_codes();
    puts("\n`tildel COMMAND --help` tells more about each.");
}

// --------------------------------------------------------------------------------------------------- parsing

// The row whose words the command line begins with; *ret_words says how many it took.
static const struct command *find_command(int argc, char **argv, int *ret_words)
{
    char both[80];

    for (*ret_words = 2; *ret_words >= 1; (*ret_words)--) {
        if (argc <= *ret_words)
            continue;
        snprintf(both, sizeof both, *ret_words == 2 ? "%s %s" : "%s", argv[1], argv[2]);
        for (const struct command *const *group = command_groups; *group != NULL; group++)
            for (const struct command *command = *group; command->name != NULL; command++)
                if (strcmp(command->name, both) == 0)
                    return command;
    }
    return NULL;
}

static const struct option_row *find_option(const struct option_row *options, const char *name, size_t length)
{
    for (; options != NULL && options->name != NULL; options++)
        if (strlen(options->name) == length && memcmp(options->name, name, length) == 0)
            return options;
    return NULL;
}

// One option, with its value in the same word or in the next; *index moves on.
static int take_option(struct console *console, int argc, char **argv, int *index)
{
    const char *name = argv[*index] + 2;
    size_t length = strcspn(name, "=");
    const struct option_row *row = find_option(console->command->options, name, length);

    if (row == NULL)
        row = find_option(common_options, name, length);
    if (row == NULL)
        return fault(EXIT_USAGE, "%s is not an option of '%s'; see tildel %s --help", argv[*index],
                     console->command->name, console->command->name);
    const char *value = name[length] == '=' ? name + length + 1 : "";
    if (row->value == NULL && name[length] == '=')
        return fault(EXIT_USAGE, "--%s takes no value", row->name);
    if (row->value != NULL && name[length] != '=') {
        if (*index + 1 >= argc)
            return fault(EXIT_USAGE, "--%s needs a value: %s", row->name, row->value);
        value = argv[++*index];
    }
    if (console->n_options == OPTIONS_MAX)
        return fault(EXIT_USAGE, "more than %d options", OPTIONS_MAX);
    console->options[console->n_options].name = row->name;
    console->options[console->n_options++].value = value;
    return EXIT_DONE;
}

static int take_words(struct console *console, int argc, char **argv, int index)
{
    bool only_arguments = false;

    for (; index < argc; index++) {
        if (!only_arguments && strcmp(argv[index], "--") == 0) {
            only_arguments = true;
        } else if (!only_arguments && strncmp(argv[index], "--", 2) == 0) {
            int code = take_option(console, argc, argv, &index);
            if (code != EXIT_DONE)
                return code;
        } else if (console->n_arguments < ARGUMENTS_MAX) {
            console->arguments[console->n_arguments++] = argv[index];
        } else {
            return fault(EXIT_USAGE, "more than %d arguments", ARGUMENTS_MAX);
        }
    }
    return EXIT_DONE;
}

static int check_arguments(const struct console *console)
{
    const struct command *command = console->command;

    if (console->n_arguments < command->least || console->n_arguments > command->most)
        return fault(EXIT_USAGE, "'%s' takes %s%s; see tildel %s --help", command->name,
                     command->arguments[0] != '\0' ? "the arguments " : "no arguments", command->arguments,
                     command->name);
    return EXIT_DONE;
}

static int read_actor(struct console *console)
{
    const char *text = option_text(console, "as");
    actor_t *actor = arena_alloc(console->ground, sizeof *actor);
    const char *why;

    if (text == NULL)
        text = env_or("TILDEL_ACTOR", DEFAULT_ACTOR);
    if (!actor_parse(console->ground, text, actor, &why))
        return fault(EXIT_USAGE, "%s", why);
    console->actor = actor;
    return EXIT_DONE;
}

static int read_common(struct console *console)
{
    const char *seconds = option_text(console, "timeout");
    const char *id = option_text(console, "id");

    console->timeout_ms = LIMIT_TIMEOUT_MS;
    if (seconds != NULL) {
        char *end;
        long number = strtol(seconds, &end, 10);
        if (*seconds == '\0' || *end != '\0' || number < 1 || number > LIMIT_TIMEOUT_MAX_MS / 1000)
            return fault(EXIT_USAGE, "--timeout must be 1..%d seconds, not %s", LIMIT_TIMEOUT_MAX_MS / 1000,
                         seconds);
        console->timeout_ms = (uint32_t)number * 1000;
    }
    if (id != NULL && !uuid_valid(id))
        return fault(EXIT_USAGE, "--id must be a UUID in 36 lower-case characters, not %s", id);
    console->json = option_text(console, "json") != NULL;
    return read_actor(console);
}

// ---------------------------------------------------------------------------------------------------- public

int usage_parse(struct console *console, int argc, char **argv, bool *ret_help)
{
    int words;

    *ret_help = argc > 1 && (strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "help") == 0);
    if (*ret_help) {
        print_help();
        return EXIT_DONE;
    }
    if (argc > 1 && strcmp(argv[1], "--version") == 0) {
        *ret_help = true;
        puts("tildel " VERSION);
        return EXIT_DONE;
    }
    if (argc < 2)
        return fault(EXIT_USAGE, "which command? tildel --help lists them");
    console->command = find_command(argc, argv, &words);
    if (console->command == NULL)
        return fault(EXIT_USAGE, "there is no command '%s%s%s'; tildel --help lists them", argv[1],
                     argc > 2 ? " " : "", argc > 2 ? argv[2] : "");
    int code = take_words(console, argc, argv, 1 + words);
    if (code == EXIT_DONE && option_text(console, "help") != NULL) {
        *ret_help = true;
        print_command_help(console->command);
        return EXIT_DONE;
    }
    if (code == EXIT_DONE)
        code = check_arguments(console);
    return code == EXIT_DONE ? read_common(console) : code;
}

const char *option_text(const struct console *console, const char *name)
{
    const char *found = NULL;

    // The last one counts, so that a script's own options can be overruled.
    for (size_t i = 0; i < console->n_options; i++)
        if (strcmp(console->options[i].name, name) == 0)
            found = console->options[i].value;
    return found;
}

const char *option_next(const struct console *console, const char *name, size_t *index)
{
    while (*index < console->n_options) {
        size_t at = (*index)++;
        if (strcmp(console->options[at].name, name) == 0)
            return console->options[at].value;
    }
    return NULL;
}

bool actor_parse(arena_t *arena, const char *text, actor_t *ret, const char **ret_why)
{
    char *subject = arena_text(arena, text);
    char *organisation = "";
    // A subject may contain colons, so the text is read from its end.
    char *last = strrchr(subject, ':');

    if (last != NULL && strlen(last + 1) == 9 && strspn(last + 1, "0123456789") == 9) {
        organisation = last + 1;
        *last = '\0';
        last = strrchr(subject, ':');
    }
    const ProtobufCEnumValue *role = NULL;
    if (last != NULL && last != subject) {
        *last = '\0';
        role = protobuf_c_enum_descriptor_get_value_by_name(&bus__v1__actor__role__descriptor, last + 1);
    }
    if (role == NULL || role->value == BUS__V1__ACTOR__ROLE__UNSPECIFIED) {
        *ret_why = arena_printf(arena,
                                "the actor '%s' must be SUBJECT:ROLE or SUBJECT:ROLE:ORGANISATION, such as "
                                "officer.1:CASE_OFFICER; the roles stand in bus_v1.proto",
                                text);
        return false;
    }
    *ret = (actor_t)BUS__V1__ACTOR__INIT;
    ret->subject = subject;
    ret->role = (Bus__V1__Actor__Role)role->value;
    ret->organisation = organisation;
    return true;
}

int fault(enum exit_code code, const char *format, ...)
{
    va_list arguments;

    assert(code != EXIT_DONE);
    progress_end();
    fflush(stdout);
    fputs("tildel: ", stderr);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
    return (int)code;
}

int instant_argument(const char *name, const char *text, int64_t *ret_us)
{
    if (!instant_parse(text, ret_us))
        return fault(EXIT_USAGE,
                     "%s must be an instant with a zone such as 2024-06-15T00:00:00+02:00, or seconds since "
                     "1970, not '%s'",
                     name, text);
    return EXIT_DONE;
}
