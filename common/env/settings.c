// settings: the table's readers. See settings.h; the table itself is made from deploy/settings.
#include "env/settings.h"

#include <string.h>

const struct setting *setting_find(const char *name)
{
    for (const struct setting *setting = settings; setting->name != NULL; setting++)
        if (strcmp(setting->name, name) == 0)
            return setting;
    return NULL;
}

bool setting_is_for(const struct setting *setting, const char *who)
{
    size_t length = strlen(who);

    for (const char *word = setting->who; word != NULL;
         word = strchr(word, ' ') ? strchr(word, ' ') + 1 : NULL)
        if (strncmp(word, who, length) == 0 && (word[length] == ' ' || word[length] == '\0'))
            return true;
    return false;
}

static const char *needed(const struct setting *setting)
{
    return setting->otherwise == NULL ? "must be set" : setting->otherwise;
}

void settings_help(FILE *to, const char *who)
{
    fputs("settings, from the environment:\n", to);
    for (const struct setting *setting = settings; setting->name != NULL; setting++) {
        if (!setting_is_for(setting, who))
            continue;
        fprintf(to, "  %-18s %s", setting->name, setting->means);
        if (setting->otherwise == NULL)
            fputs(" (must be set)", to);
        else if (*setting->otherwise != '\0')
            fprintf(to, " (else: %s)", setting->otherwise);
        fputc('\n', to);
    }
}

void settings_markdown(FILE *to)
{
    fputs("| setting | read by | when not set | meaning | example |\n|---|---|---|---|---|\n", to);
    for (const struct setting *setting = settings; setting->name != NULL; setting++) {
        const char *tick = *setting->example ? "`" : "";
        fprintf(to, "| `%s` | %s | %s | %s | %s%s%s |\n", setting->name, setting->who, needed(setting),
                setting->means, tick, setting->example, tick);
    }
}
