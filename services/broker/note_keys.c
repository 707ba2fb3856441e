// note_keys: the keys that sign.
#include "note_keys.h"

#include "env/env.h"
#include "note/note.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sodium.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

struct plan {
    const char *file;     // DIR/FILE.key and DIR/FILE.pub
    const char *setting;  // where its name comes from
    const char *name;     // NULL: it is not set
    enum note_type type;
};

static const char *path_of(arena_t *arena, const char *folder, const struct plan *plan, const char *kind)
{
    return arena_printf(arena, "%s/%s.%s", folder, plan->file, kind);
}

static void line_write(arena_t *arena, const char *path, mode_t mode, const char *text)
{
    const char *line = arena_printf(arena, "%s\n", text);
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, mode);

    if (file < 0 || write(file, line, strlen(line)) != (ssize_t)strlen(line) || fsync(file) != 0 ||
        close(file) != 0)
        bus_end("%s cannot be written: %s", path, strerror(errno));
    printf("%s\n", path);
}

static void make_signer(arena_t *arena, const struct plan *plan, struct note_signer *ret)
{
    uint8_t seed[NOTE_KEY], random[8];

    if (sodium_init() < 0)
        bus_end("libsodium cannot be used");
    randombytes_buf(seed, sizeof seed);
    randombytes_buf(random, sizeof random);
    const char *name = plan->name;
    if (name == NULL)
        name = arena_printf(arena, "tildel/%s-%02x%02x%02x%02x", plan->file, random[0], random[1], random[2],
                            random[3]);
    if (!note_name_valid(name))
        bus_end("%s must be 1 to 127 printable ASCII characters without space or plus", plan->setting);
    note_signer_make(name, plan->type, seed, ret);
    sodium_memzero(seed, sizeof seed);
}

static void key_make(arena_t *arena, const char *folder, const struct plan *plan)
{
    const char *secret = path_of(arena, folder, plan, "key"), *public = path_of(arena, folder, plan, "pub"),
               *why;
    struct note_signer signer;

    if (access(secret, F_OK) == 0) {
        if (!note_signer_load(arena, secret, &signer, &why))
            bus_end("%s", why);
    } else if (access(public, F_OK) == 0) {
        return;  // its secret is elsewhere, as it should be
    } else {
        make_signer(arena, plan, &signer);
        line_write(arena, secret, 0600, note_signer_text(arena, &signer));
    }
    if (access(public, F_OK) != 0)
        line_write(arena, public, 0644, note_key_text(arena, &signer.key));
    note_signer_wipe(&signer);
}

void note_keys_make(const char *folder)
{
    const struct plan plans[] = {
        {"log", "LOG_ORIGIN", env_or("LOG_ORIGIN", NULL), NOTE_PLAIN},
        {"witness", "WITNESS_NAME", env_or("WITNESS_NAME", NULL), NOTE_COSIGNATURE},
    };
    arena_t *arena = arena_new(1024 * 1024);

    for (size_t i = 0; i < sizeof plans / sizeof plans[0]; i++)
        key_make(arena, folder, &plans[i]);
    arena_destroy(&arena);
}
