// settings: what can be set, for people, for README.md and for programs.
#include "console.h"

#include "env/settings.h"

#include <jansson.h>
#include <stdio.h>

static void print_json(void)
{
    json_t *list = json_array();

    for (const struct setting *setting = settings; setting->name != NULL; setting++)
        json_array_append_new(list, json_pack("{s:s, s:s, s:s?, s:s, s:s}", "name", setting->name, "read_by",
                                              setting->who, "otherwise", setting->otherwise, "meaning",
                                              setting->means, "example", setting->example));
    json_dumpf(list, stdout, JSON_INDENT(1));
    putchar('\n');
    json_decref(list);
}

static int run_settings(struct console *console)
{
    if (console->json) {
        print_json();
    } else if (option_text(console, "markdown") != NULL) {
        settings_markdown(stdout);
    } else {
        for (size_t i = 0; setting_readers[i] != NULL; i++) {
            printf("%s%s: ", i > 0 ? "\n" : "", setting_readers[i]);
            settings_help(stdout, setting_readers[i]);
        }
    }
    return EXIT_DONE;
}

static const struct option_row settings_options[] = {
    {"markdown", NULL, "as the table that stands in README.md"},
    {NULL, NULL, NULL},
};

const struct command commands_settings[] = {
    {"settings", "", 0, 0, "list every setting there is: of each process, and of docker-compose",
     "No process reads a setting that is not listed here.", settings_options, run_settings},
    {NULL},
};
