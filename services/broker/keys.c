// tildel-keys: makes the CURVE keys of a stack and the registry that says what each may do.
#include "keys.h"

#include "bus/end.h"
#include "bus/registry.h"
#include "bus/seal.h"
#include "note_keys.h"

#include <czmq.h>
#include <fcntl.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>

#define KEEP_HOURS      24
#define KEEP_HOURS_MOST 8784  // a leap year

static const char help[] =
    "usage: tildel-keys DIR [--rehearsal]\n"
    "       tildel-keys DIR --rotate NAME [--keep HOURS]\n"
    "       tildel-keys DIR --revoke NAME\n"
    "\n"
    "Makes DIR (mode 0700) with registry.zpl, the public register of keys, and one NAME.secret.zpl (mode "
    "0600) for\n"
    "each process of a stack: give every process only its own. Keys that exist are kept and never "
    "overwritten; a\n"
    "registry that exists keeps every line; only names it lacks are added, and that those may be asked by whoever needs them.\n"
    "Also the keys that sign, log.key and witness.key (mode 0600), and their public halves log.pub and\n"
    "witness.pub for auditors. LOG_ORIGIN and WITNESS_NAME name them; else the names end at random.\n"
    "\n"
    "  --rehearsal   also a key 'rehearsal' that may speak for any person. A real broker refuses such a "
    "registry\n"
    "  --rotate      a new key for NAME. Start its processes again with the new secret, one after the other; "
    "those\n"
    "                that still have the old one are served for HOURS more (24; 0: refused from now on)\n"
    "  --revoke      take NAME's keys out of the registry: refused from its next message on\n"
    "  --help        this text\n"
    "\n"
    "Rotating and revoking change the files in place, so that containers see them, and seal the registry: "
    "who then\n"
    "edits it by hand removes both lines that begin with '# sealed'. Clients know the broker and the event "
    "log by\n"
    "their keys: start these two again at once after rotating theirs; everybody finds the new key within "
    "seconds.\n"
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
    {"eventlog", "eventlog", "eventlog witness intake approval evaluation allocation payment reporting", "no",
     "self", false},
    {"witness", "witness", "eventlog witness", "yes", "self", false},
    {"intake", "intake", "eventlog", "yes", "self", false},
    {"approval", "approval", "eventlog", "yes", "self", false},
    {"evaluation", "evaluation", "eventlog", "yes", "self", false},
    {"allocation", "allocation", "eventlog", "yes", "self", false},
    {"payment", "payment", "eventlog finance", "yes", "self", false},
    {"reporting", "reporting", "eventlog", "yes", "self", false},
    {"finance", "finance", "payment broker", "no", "self", false},
    {"console", "", "*", "yes", "self OPERATOR AUDITOR CASE_OFFICER UNIT_HEAD", false},
    {"auditor", "", "eventlog witness intake approval evaluation allocation payment reporting", "yes",
     "self AUDITOR", false},
    {"portal", "", "intake approval evaluation allocation payment reporting", "no", "self", false},
    {"rehearsal", "", "*", "yes", "any self", true},
    {NULL},
};

void path_make(const char *folder, const char *name, const char *suffix, char ret[PATH_MAX])
{
    if (snprintf(ret, PATH_MAX, "%s/%s.%s", folder, name, suffix) >= PATH_MAX)
        bus_end("the name of the folder is too long");
}

static void text_write(const char *path, int flags, mode_t mode, const char *text)
{
    int file = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | flags, mode);
    if (file < 0 || write(file, text, strlen(text)) != (ssize_t)strlen(text) || fsync(file) != 0 ||
        close(file) != 0)
        bus_end("%s cannot be written: %s", path, strerror(errno));
}

// The form of CZMQ's certificates, so that other languages' libraries read it too.
void secret_make(const char *path, char public_key[KEY_TEXT])
{
    char secret_key[KEY_TEXT];
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

void public_read(const char *path, char public_key[KEY_TEXT])
{
    zconfig_t *file = zconfig_load(path);
    const char *text = file ? zconfig_get(file, "curve/public-key", "") : "";
    if (strlen(text) != 40)
        bus_end("%s has no curve/public-key of 40 characters; remove the file to have a new key made", path);
    snprintf(public_key, KEY_TEXT, "%s", text);
    zconfig_destroy(&file);
}

// At the end of the registry. One that is sealed stays so.
static void registry_add(const char *registry, const char *text)
{
    char *before = seal_read(registry);

    if (before != NULL && !seal_whole(before))
        bus_end("%s is not whole; nothing was added", registry);
    size_t size = before != NULL ? strlen(before) : 0;
    if (before != NULL && strlen(seal_open(before)) < size) {
        char *both = zsys_sprintf("%s%s", before, text);
        seal_write(registry, both);
        free(both);
    } else {
        text_write(registry, O_APPEND, 0644, text);
    }
    free(before);
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
    registry_add(registry, text);
}

static void key_make(const char *folder, const char *registry, const struct plan *plan)
{
    char path[PATH_MAX];
    char public_key[KEY_TEXT];
    path_make(folder, plan->name, "secret.zpl", path);
    bool has_secret = access(path, F_OK) == 0;

    if (has_secret)
        public_read(path, public_key);
    else
        secret_make(path, public_key);
    entry_write(registry, plan, public_key);
    printf("%s\n", path);
}

// A known name's secret is perhaps elsewhere, as it should be.
static bool is_known(zconfig_t *known, const char *name)
{
    return known && zconfig_locate(known, name);
}

// A name that a new version brings is of use only if those who were there before may ask it. What a hand has taken away
// from them otherwise stays away.
static void names_let_in(const char *folder, zconfig_t *known, bool rehearsal)
{
    for (const struct plan *old = plans; old->name; old++)
        for (const struct plan *new = plans; new->name; new++)
            if (is_known(known, old->name) && !is_known(known, new->name) && (rehearsal || !new->rehearsal_only) &&
                words_hold(old->asks, new->name))
                key_let_ask(folder, old->name, new->name);
}

static int keys_make(const char *folder, bool rehearsal)
{
    char registry[PATH_MAX];

    path_make(folder, "registry", "zpl", registry);
    bool exists = access(registry, F_OK) == 0;
    zconfig_t *known = exists ? zconfig_load(registry) : NULL;
    if (exists && !known)
        bus_end("%s cannot be read as ZPL; nothing was changed", registry);
    for (const struct plan *plan = plans; plan->name; plan++)
        if ((rehearsal || !plan->rehearsal_only) && !is_known(known, plan->name))
            key_make(folder, registry, plan);
    if (known)
        names_let_in(folder, known, rehearsal);
    zconfig_destroy(&known);
    note_keys_make(folder);
    return 0;
}

// One at a time works on a folder, until the process ends.
static void hold(const char *folder)
{
    int fd = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX) != 0)
        bus_end("%s cannot be worked on: %s", folder, strerror(errno));
}

// Hours of an argument; -1 when it is none.
static long hours(const char *text)
{
    char *end;
    long number = strtol(text, &end, 10);

    return *text != '\0' && *end == '\0' && number >= 0 && number <= KEEP_HOURS_MOST ? number : -1;
}

static int usage(FILE *to, int code)
{
    fputs(help, to);
    return code;
}

static int make_all(const char *folder, bool rehearsal)
{
    if (mkdir(folder, 0700) != 0 && errno != EEXIST)
        bus_end("%s cannot be made: %s", folder, strerror(errno));
    hold(folder);
    return keys_make(folder, rehearsal);
}

static int rotate_one(const char *folder, const char *name, long keep_hours)
{
    if (keep_hours < 0)
        return usage(stderr, 2);
    hold(folder);
    return key_rotate(folder, name, keep_hours);
}

static int revoke_one(const char *folder, const char *name)
{
    hold(folder);
    return key_revoke(folder, name);
}

int main(int argc, char **argv)
{
    const char *option = argc > 2 ? argv[2] : "";

    log_start("keys");
    if (argc == 2 && streq(argv[1], "--help"))
        return usage(stdout, 0);
    if (argc < 2 || argv[1][0] == '-')
        return usage(stderr, 2);
    if (argc == 2)
        return make_all(argv[1], false);
    if (argc == 3 && streq(option, "--rehearsal"))
        return make_all(argv[1], true);
    if (argc == 4 && streq(option, "--rotate"))
        return rotate_one(argv[1], argv[3], KEEP_HOURS);
    if (argc == 6 && streq(option, "--rotate") && streq(argv[4], "--keep"))
        return rotate_one(argv[1], argv[3], hours(argv[5]));
    if (argc == 4 && streq(option, "--revoke"))
        return revoke_one(argv[1], argv[3]);
    return usage(stderr, 2);
}
