// settings: every setting there is, in one table. See settings.h.
#include "env/settings.h"

#include <string.h>

const struct setting settings[] = {
    {"BUS_BROKER", "broker eventlog services connector console", NULL,
     "where the broker is (the broker itself needs it for --health only)", "tcp://broker:5555"},
    {"BUS_KEYS", "broker eventlog services connector console", NULL,
     "folder with registry.zpl and the process's own NAME.secret.zpl (0600)", "/run/secrets"},
    {"BUS_NAME", "eventlog services connector console", "the process's name",
     "name of the key in the registry; the connector's is finance", "intake"},
    {"BUS_FEED", "services console", "",
     "where the event log publishes; the console needs it for --follow only", "tcp://eventlog:5556"},
    {"BROKER_BIND", "broker", NULL, "where the broker listens", "tcp://*:5555"},
    {"FEED_BIND", "eventlog", NULL, "where the event log publishes", "tcp://*:5556"},
    {"DATABASE_URL", "eventlog services", "DATABASE_URL_FILE",
     "the database, as the process's own role; a password of 16 characters or more, which may be missing "
     "over a unix "
     "socket",
     "postgresql:///tildel?host=/run/postgresql"},
    {"DATABASE_URL_FILE", "eventlog services", "", "a file (0600) whose first line is that address",
     "/run/secrets/intake.url"},
    {"MIGRATE_URL", "eventlog services console", "MIGRATE_URL_FILE",
     "the database as the schemas' owner, for --migrate and --replay; tildel replay, compare, --as-of", ""},
    {"MIGRATE_URL_FILE", "eventlog services console", "", "a file (0600) whose first line is that address",
     "/run/secrets/owner.url"},
    {"DATABASE_ROLE", "eventlog services", "the service's name; none in the event log",
     "the role that --migrate grants the tables to", "tildel_intake"},
    {"METRICS_BIND", "broker eventlog services connector", "",
     "IPv4 address (or *) and port of /metrics, /live and /ready, which --health asks; without it there are none",
     "*:9464"},
    {"INSTANCE", "services", "the host's name", "name of this process among its like", "intake-2"},
    {"REHEARSAL", "broker eventlog services compose", "",
     "set: this process belongs to a rehearsal; for the broker the file that keeps its calendar", ""},
    {"FINANCE_OUT", "connector", NULL, "out-tray: one pain.001.001.09 file an order, renamed into view", ""},
    {"FINANCE_IN", "connector", NULL, "in-tray: the bank's pain.002.001.10 files (*.xml)", ""},
    {"FINANCE_DONE", "connector", NULL, "where files that were told are laid; on one volume with FINANCE_IN",
     ""},
    {"FINANCE_REJECTED", "connector", "FINANCE_IN/../rejected",
     "where files that can not be read are laid, each with a .reason", ""},
    {"FINANCE_STATE", "connector", NULL, "what must survive: one small file an order, for ever", ""},
    {"DEBTOR_NAME", "connector compose", NULL, "who pays", "Direktoratet"},
    {"DEBTOR_ACCOUNT", "connector compose", NULL, "from which account, 11 digits", "12340000011"},
    {"DEBTOR_BIC", "connector compose", "DEBTOR_CLEARING", "in which bank", "DNBANOKK"},
    {"DEBTOR_CLEARING", "connector", "", "the bank's number in the clearing system, instead of a BIC", ""},
    {"ISO20022_SCHEMAS", "connector compose", "",
     "folder with pain.001.001.09.xsd and pain.002.001.10.xsd; without it the structure alone is checked",
     ""},
    {"TILDEL_ACTOR", "console", "operator:OPERATOR", "who acts when --as is not given",
     "officer.1:CASE_OFFICER"},
    {"TILDEL_PROTOSET", "console", "the installed one", "the contract's descriptor set", ""},
    {"COMPOSE_PROJECT_NAME", "compose", "the folder's name",
     "first word of the names of containers and volumes", "tildel"},
    {"VERSION", "compose", "local", "tag of the images", ""},
    {"COMMIT", "compose", "unknown", "commit that the images were built from; a label", ""},
    {"BASE", "compose", "debian:bookworm-slim", "what the images are built on: Debian 12 or 13",
     "debian:trixie-slim"},
    {"BUILD_NETWORK", "compose", "default", "network that the images are built in", "host"},
    {"BROKER_PORT", "compose", "127.0.0.1:5555", "where the broker's port is published on this machine", ""},
    {"CONSOLE_KEY", "compose", "console", "name of the key that the console container uses", "auditor"},
    {"FINANCE_TRAYS", "compose", "the volume finance", "volume or folder that holds the connector's trays",
     ""},
    {"POSTGRES_MEMORY", "compose", "1g", "memory limit of the PostgreSQL container", "8g"},
    {"SHARED_BUFFERS", "postgres", "256MB", "PostgreSQL's shared_buffers; about a quarter of POSTGRES_MEMORY",
     "2GB"},
    {NULL, NULL, NULL, NULL, NULL},
};

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
