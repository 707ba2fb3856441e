// receipt: proofs of delivery: fetched from the log and its witness, checked without either.
//
// The signature is the delivery: approval.v1.SignedOff holds the application, the hash of the document, and the instant
// at which the broker held the last signature. A receipt is that event, its path in the tree, and a checkpoint.
// It needs no key but the log's: a promise by the service that decided would be worth no more than its database,
// while the log has the event a few milliseconds after the answer and signs a checkpoint for whoever asks.
#include "receipt.h"
#include "receipt_text.h"

#include "approval_v1.pb-c.h"
#include "clock/clock.h"
#include "env/env.h"
#include "limits/limits.h"
#include "values/values.h"
#include "witness_v1.pb-c.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define LOOK_AGAIN_MS 50
#define WITNESS_MS    3000  // a witness that has not cosigned by then is left out

static const char *const kinds[] = {"APPLICATION", "ACCEPTANCE", "REPORT"};
static const char *const endings[] = {"application", "acceptance", "report"};

// ------------------------------------------------------------------------------------------------- the delivery

// The newest delivery in one stream of sign-offs, if it is newer than the one found.
static int look_in(struct console *console, const char *stream, const Eventlog__V1__Entry **found)
{
    Eventlog__V1__ReadStream request = EVENTLOG__V1__READ_STREAM__INIT;
    const Eventlog__V1__Page *page;
    const Eventlog__V1__Event *event;

    request.stream = (char *)stream;
    request.limit = LIMIT_PAGE_ENTRIES;
    do {
        int code = query(console, &request, &eventlog__v1__page__descriptor, &page);
        for (size_t i = 0; code == EXIT_DONE && i < page->n_entries; i++) {
            const Eventlog__V1__Entry *entry = page->entries[i];
            if (message_decode(&console->message, &eventlog__v1__event__descriptor, entry->event.data,
                               entry->event.len, &event) != OK)
                return fault(EXIT_DIFFERENT, "position %llu: %s", (unsigned long long)entry->position,
                             console->message.reason);
            request.after = event->version;
            if (strcmp(event->type, approval__v1__signed_off__descriptor.name) == 0 &&
                (*found == NULL || entry->position > (*found)->position))
                *found = entry;
        }
        if (code != EXIT_DONE)
            return code;
    } while (page->n_entries > 0);
    return EXIT_DONE;
}

static int find_delivery(struct console *console, const char *application_id, const char *kind,
                         const Eventlog__V1__Entry **ret)
{
    int64_t until_ms = clock_stopwatch_ms() + console->timeout_ms;
    int code = EXIT_DONE;

    *ret = NULL;
    do {
        for (size_t i = 0; code == EXIT_DONE && i < sizeof kinds / sizeof kinds[0]; i++)
            if (kind == NULL || strcmp(kind, kinds[i]) == 0)
                code = look_in(
                    console,
                    arena_printf(console->arena, "approval/signoff/%s:%s", application_id, endings[i]), ret);
        if (code != EXIT_DONE || *ret != NULL)
            return code;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_MS * 1000000L}, NULL);
    } while (clock_stopwatch_ms() < until_ms);
    return fault(EXIT_REFUSED, "the log holds no delivery of application %s%s%s: it has not been signed",
                 application_id, kind != NULL ? " of kind " : "", kind != NULL ? kind : "");
}

// ------------------------------------------------------------------------------------------------ the checkpoint

// A cosigned checkpoint that covers the position; false when the witness has none in time, or there is no witness.
static bool ask_witness(struct console *console, uint64_t position, Witness__V1__Cosignature **ret)
{
    Witness__V1__GetCosignature request = WITNESS__V1__GET_COSIGNATURE__INIT;
    int64_t until_ms = clock_stopwatch_ms() + WITNESS_MS;
    size_t size;

    request.covers = position;
    const uint8_t *body = message_encode(console->arena, &request, &size);
    do {
        struct incoming answer;
        uint32_t left_ms = (uint32_t)(until_ms - clock_stopwatch_ms());
        if (!bus_call(console_bus(console), console->arena, "witness",
                      uuid_new(console->arena, clock_real_us()), request.base.descriptor->name,
                      console->actor, left_ms, body, size, &answer))
            return false;
        if (answer.reply->status == BUS__V1__REPLY__STATUS__OK)
            return message_decode(&console->message, &witness__v1__cosignature__descriptor, answer.body,
                                  answer.body_size, ret) == OK;
        nanosleep(&(struct timespec){.tv_nsec = LOOK_AGAIN_MS * 1000000L}, NULL);
    } while (clock_stopwatch_ms() + LOOK_AGAIN_MS < until_ms);
    return false;
}

int checkpoint_fetch(struct console *console, uint64_t position, struct signed_checkpoint *ret)
{
    Eventlog__V1__GetCheckpoint request = EVENTLOG__V1__GET_CHECKPOINT__INIT;
    const Eventlog__V1__Checkpoint *checkpoint;
    Witness__V1__Cosignature *cosigned;

    request.covers = position;
    int code = query(console, &request, &eventlog__v1__checkpoint__descriptor, &checkpoint);
    if (code != EXIT_DONE)
        return code;
    *ret = (struct signed_checkpoint){checkpoint->size, checkpoint->note, checkpoint->key, ""};
    if (ask_witness(console, position, &cosigned))
        *ret = (struct signed_checkpoint){cosigned->size, cosigned->note, checkpoint->key, cosigned->key};
    return EXIT_DONE;
}

static int find_checkpoint(struct console *console, struct receipt *receipt)
{
    struct signed_checkpoint found;

    int code = checkpoint_fetch(console, receipt->position, &found);
    if (code != EXIT_DONE)
        return code;
    receipt->log = found.log;
    receipt->size = found.size;
    receipt->note = found.note;
    if (found.witness[0] != '\0')
        receipt->witnesses[receipt->n_witnesses++] = found.witness;
    return EXIT_DONE;
}

static int find_proof(struct console *console, struct receipt *receipt)
{
    Eventlog__V1__GetInclusionProof request = EVENTLOG__V1__GET_INCLUSION_PROOF__INIT;
    const Eventlog__V1__InclusionProof *proof;

    request.position = receipt->position;
    request.size = receipt->size;
    int code = query(console, &request, &eventlog__v1__inclusion_proof__descriptor, &proof);
    if (code != EXIT_DONE)
        return code;
    for (size_t i = 0; i < proof->n_hashes; i++) {
        if (proof->hashes[i].len != TREE_HASH || i == PROOF_HASHES)
            return fault(EXIT_DIFFERENT, "the log's proof is none: hash %zu has %zu bytes", i,
                         proof->hashes[i].len);
        memcpy(receipt->proof.hashes[receipt->proof.count++], proof->hashes[i].data, TREE_HASH);
    }
    return EXIT_DONE;
}

// What is handed out has been checked as whoever gets it will.
static int check_own(struct console *console, const char *text, const char *log)
{
    struct receipt_facts facts;
    struct note_key key;
    const char *why;

    console->message.reason = NULL;
    if (!note_key_parse(console->arena, log, &key, &why) ||
        !receipt_verify(&console->message, text, strlen(text), &key, &facts, &why))
        return fault(EXIT_DIFFERENT, "the log answered with a receipt that does not verify: %s", why);
    return EXIT_DONE;
}

int receipt_fetch(struct console *console, const char *application_id, const char *kind, char **ret)
{
    struct receipt receipt = {0};
    const Eventlog__V1__Entry *delivery;

    int code = find_delivery(console, application_id, kind, &delivery);
    if (code != EXIT_DONE)
        return code;
    receipt.event = delivery->event;
    receipt.position = delivery->position;
    code = find_checkpoint(console, &receipt);
    if (code == EXIT_DONE)
        code = find_proof(console, &receipt);
    if (code != EXIT_DONE)
        return code;
    console->message.reason = NULL;
    *ret = receipt_make(&console->message, &receipt);
    if (*ret == NULL)
        return fault(EXIT_DIFFERENT, "position %llu: %s", (unsigned long long)receipt.position,
                     console->message.reason);
    return check_own(console, *ret, receipt.log);
}

int receipt_store(const char *path, const char *text)
{
    size_t size = strlen(text);

    if (path == NULL || strcmp(path, "-") == 0)
        return fwrite(text, 1, size, stdout) == size && fflush(stdout) == 0
                   ? EXIT_DONE
                   : fault(EXIT_REFUSED, "standard output cannot be written");
    int file = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0644);
    if (file < 0)
        return fault(EXIT_REFUSED, "%s cannot be made: %s", path, strerror(errno));
    bool well = write(file, text, size) == (ssize_t)size && fsync(file) == 0;
    well = close(file) == 0 && well;
    if (!well) {
        unlink(path);
        return fault(EXIT_REFUSED, "%s cannot be written: %s", path, strerror(errno));
    }
    return EXIT_DONE;
}

// ------------------------------------------------------------------------------------------------- the commands

static int run_get(struct console *console)
{
    const char *kind = option_text(console, "kind"), *path = option_text(console, "out");
    bool known = kind == NULL;
    char *text;

    for (size_t i = 0; !known && i < sizeof kinds / sizeof kinds[0]; i++)
        known = strcmp(kind, kinds[i]) == 0;
    if (!known)
        return fault(EXIT_USAGE, "--kind must be APPLICATION, ACCEPTANCE or REPORT, not '%s'", kind);
    if (!uuid_valid(console->arguments[0]))
        return fault(EXIT_USAGE, "'%s' is not the id of an application", console->arguments[0]);
    int code = receipt_fetch(console, console->arguments[0], kind, &text);
    return code == EXIT_DONE ? receipt_store(path, text) : code;
}

static int read_file(struct console *console, const char *path, char **ret, size_t *ret_size)
{
    char *bytes = arena_alloc(console->arena, RECEIPT_BYTES + 1);
    FILE *file = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");

    if (file == NULL)
        return fault(EXIT_REFUSED, "%s cannot be read: %s", path, strerror(errno));
    *ret_size = fread(bytes, 1, RECEIPT_BYTES + 1, file);
    bool well = !ferror(file);
    if (file != stdin)
        fclose(file);
    *ret = bytes;
    return well ? EXIT_DONE : fault(EXIT_REFUSED, "%s cannot be read: %s", path, strerror(errno));
}

const char *log_public_path(struct console *console)
{
    const char *path = option_text(console, "key"), *folder = env_or("BUS_KEYS", NULL);

    if (path == NULL)
        path = env_or("LOG_PUB", NULL);
    if (path == NULL && folder != NULL)
        path = arena_printf(console->ground, "%s/log.pub", folder);
    return path;
}

int log_public_keys(struct console *console, struct note_ring *ret)
{
    const char *path = log_public_path(console), *why;

    if (path == NULL)
        return fault(EXIT_USAGE, "whose log? give its public key with --key FILE (log.pub)");
    return note_ring_load(console->arena, path, ret, &why) ? EXIT_DONE : fault(EXIT_REFUSED, "%s", why);
}

static void print_facts(struct console *console, const struct receipt_facts *facts)
{
    if (console->json) {
        printf(
            "{\"verified\": true, \"application_id\": \"%s\", \"kind\": \"%s\", \"version\": %u, \"sha256\": "
            "\"%s\", "
            "\"received_at_us\": \"%lld\", \"position\": \"%llu\", \"size\": \"%llu\", \"witnesses\": %zu}\n",
            facts->application_id, facts->kind, facts->version, facts->document_sha256,
            (long long)facts->received_at_us, (unsigned long long)facts->position,
            (unsigned long long)facts->size, facts->n_witnesses);
        return;
    }
    printf("verified: %s version %u of application %s, sha256 %s,\n"
           "received %s, stands at position %llu of a log of %llu events",
           facts->kind, facts->version, facts->application_id, facts->document_sha256,
           oslo_text(console->arena, facts->received_at_us), (unsigned long long)facts->position,
           (unsigned long long)facts->size);
    if (facts->n_witnesses > 0)
        printf(", which %zu witness%s saw by %s", facts->n_witnesses, facts->n_witnesses == 1 ? "" : "es",
               instant_text(console->arena, facts->witnessed_at_s * 1000000));
    puts("");
}

// The key that the receipt names, if it is one of these; else the first, which is then said not to be the receipt's.
static const struct note_key *key_named(arena_t *arena, const char *bytes, size_t size,
                                        const struct note_ring *log)
{
    for (size_t i = 1; i < log->count; i++) {
        const char *text = note_key_text(arena, &log->keys[i]);
        if (memmem(bytes, size, text, strlen(text)) != NULL)
            return &log->keys[i];
    }
    return &log->keys[0];
}

static int run_verify_receipt(struct console *console)
{
    struct receipt_facts facts;
    struct note_ring log;
    const char *path = console->arguments[0], *why;
    size_t size = 0;
    char *bytes = NULL;

    int code = log_public_keys(console, &log);
    if (code == EXIT_DONE)
        code = read_file(console, path, &bytes, &size);
    if (code != EXIT_DONE)
        return code;
    const struct note_key *key = key_named(console->arena, bytes, size, &log);
    if (!receipt_verify(&console->message, bytes, size, key, &facts, &why))
        return fault(EXIT_DIFFERENT, "%s: %s", path, why);
    print_facts(console, &facts);
    return EXIT_DONE;
}

static const struct option_row get_options[] = {
    {"kind", "KIND", "APPLICATION, ACCEPTANCE or REPORT; else the newest of all"},
    {"out", "FILE", "where to write it; nothing is overwritten"},
    {NULL, NULL, NULL},
};
static const struct option_row verify_options[] = {
    {"key", "FILE", "the log's public key, log.pub; else LOG_PUB, else log.pub among BUS_KEYS"},
    {NULL, NULL, NULL},
};

const struct command commands_receipt[] = {
    {"receipt get", "APPLICATION", 1, 1, "a proof that something was delivered in time",
     "A small text with the application, the hash of the document and the instant it was received, the log's "
     "entry, its "
     "path in the log's tree, and a checkpoint that the log, and a witness where there is one, have signed.",
     get_options, run_get},
    {"verify receipt", "FILE", 1, 1, "check a receipt with nothing but the log's public key",
     "Asks nobody. Exit code 4 names the line that is wrong.", verify_options, run_verify_receipt},
    {NULL},
};
