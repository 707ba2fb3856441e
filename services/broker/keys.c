// tildel-keys: makes the CURVE keys of a stack and the registry that says what each may do.
#include "bus/end.h"

#include <czmq.h>
#include <fcntl.h>
#include <limits.h>
#include <string.h>
#include <sys/stat.h>

static const char help[] =
    "usage: tildel-keys DIR [--rehearsal]\n"
    "\n"
    "Makes DIR (mode 0700) with registry.zpl, the public register of keys, and one NAME.secret.zpl (mode "
    "0600) for\n"
    "each process of a stack: give every process only its own. Keys that exist are kept and never "
    "overwritten; a\n"
    "registry that exists keeps every line, and only names it lacks are added.\n"
    "\n"
    "  --rehearsal   also a key 'rehearsal' that may speak for any person. A real broker refuses such a "
    "registry\n"
    "  --help        this text\n"
    "\n"
    "Exit codes: 0 made or already there; 1 a fault, told in one sentence; 2 wrong usage.\n";

// What a key is for. "self" stands for the name itself.
static const struct plan {
    const char *name;
    const char *serves;
    const char *asks;
    const char *feed;
    const char *speaks;
    bool rehearsal_only;
} plans[] = {
    {"broker", "broker", "broker", "no", "self", false},
    {"eventlog", "eventlog", "eventlog", "no", "self", false},
    {"intake", "intake", "eventlog", "yes", "self", false},
    {"approval", "approval", "eventlog", "yes", "self", false},
    {"evaluation", "evaluation", "eventlog", "yes", "self", false},
    {"allocation", "allocation", "eventlog", "yes", "self", false},
    {"payment", "payment", "eventlog finance", "yes", "self", false},
    {"reporting", "reporting", "eventlog", "yes", "self", false},
    {"finance", "finance", "payment broker", "no", "self", false},
    {"console", "", "*", "yes", "self OPERATOR AUDITOR CASE_OFFICER UNIT_HEAD", false},
    {"auditor", "", "eventlog intake approval evaluation allocation payment reporting", "yes", "self AUDITOR",
     false},
    {"portal", "", "intake approval evaluation allocation payment reporting", "no", "self", false},
    {"rehearsal", "", "*", "yes", "any self", true},
    {NULL},
};

static bool secret_exists(const char *folder, const char *name, char path[PATH_MAX])
{
    if (snprintf(path, PATH_MAX, "%s/%s.secret.zpl", folder, name) >= PATH_MAX)
        bus_end("the name of the folder is too long");
    return access(path, F_OK) == 0;
}

static void text_write(const char *path, int flags, mode_t mode, const char *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode);
    if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text) || fsync(file) != 0 ||
        close(file) != 0)
        bus_end("%s cannot be written: %s", path, strerror(errno));
}

// The form of CZMQ's certificates, so that other languages' libraries read it too.
static void secret_make(const char *path, char public_key[41])
{
    char secret_key[41];
    char text[512];

    if (zmq_curve_keypair(public_key, secret_key) != 0)
        bus_end("this ZeroMQ library has no CURVE: %s", zmq_strerror(zmq_errno()));
    snprintf(text, sizeof text,
             "#   Secret key of one process of Tildel. Give it to nobody else.\n"
             "metadata\n"
             "curve\n"
             "    public-key = \"%s\"\n"
             "    secret-key = \"%s\"\n",
             public_key, secret_key);
    text_write(path, O_EXCL, 0600, text);
}

static void public_read(const char *path, char public_key[41])
{
    zconfig_t *file = zconfig_load(path);
    const char *text = file ? zconfig_get(file, "curve/public-key", "") : "";
    if (strlen(text) != 40)
        bus_end("%s has no curve/public-key of 40 characters; remove the file to have a new key made", path);
    snprintf(public_key, 41, "%s", text);
    zconfig_destroy(&file);
}

static void entry_write(const char *registry, const struct plan *plan, const char *public_key)
{
    char text[1024];
    snprintf(text, sizeof text,
             "%s\n"
             "    public = \"%s\"\n"
             "    serves = \"%s\"\n"
             "    asks = \"%s\"\n"
             "    feed = \"%s\"\n"
             "    speaks = \"%s\"\n",
             plan->name, public_key, plan->serves, plan->asks, plan->feed, plan->speaks);
    text_write(registry, O_APPEND, 0644, text);
}

static void key_make(const char *folder, const char *registry, zconfig_t *known, const struct plan *plan)
{
    char path[PATH_MAX];
    char public_key[41];
    bool has_secret = secret_exists(folder, plan->name, path);
    bool is_known = known && zconfig_locate(known, plan->name);

    if (is_known)
        return;  // perhaps its secret is elsewhere, as it should be
    if (has_secret)
        public_read(path, public_key);
    else
        secret_make(path, public_key);
    entry_write(registry, plan, public_key);
    printf("%s\n", path);
}

static int keys_make(const char *folder, bool rehearsal)
{
    char registry[PATH_MAX];

    if (snprintf(registry, sizeof registry, "%s/registry.zpl", folder) >= (int)sizeof registry)
        bus_end("the name of the folder is too long");
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        bus_end("%s cannot be made: %s", folder, strerror(errno));
    bool exists = access(registry, F_OK) == 0;
    zconfig_t *known = exists ? zconfig_load(registry) : NULL;
    if (exists && !known)
        bus_end("%s cannot be read as ZPL; nothing was changed", registry);
    for (const struct plan *plan = plans; plan->name; plan++)
        if (rehearsal || !plan->rehearsal_only)
            key_make(folder, registry, known, plan);
    zconfig_destroy(&known);
    return 0;
}

int main(int argc, char **argv)
{
    log_start("keys");
    if (argc == 2 && streq(argv[1], "--help")) {
        fputs(help, stdout);
        return 0;
    }
    if (argc == 2 && argv[1][0] != '-')
        return keys_make(argv[1], false);
    if (argc == 3 && argv[1][0] != '-' && streq(argv[2], "--rehearsal"))
        return keys_make(argv[1], true);
    fputs(help, stderr);
    return 2;
}
