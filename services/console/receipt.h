// receipt: fetch a receipt from the log and its witness.
#pragma once

#include "console.h"

#include "note/note.h"

// The receipt of the newest delivery of this application, of this kind ("APPLICATION", "ACCEPTANCE", "REPORT"; NULL: any),
// from the log and its witness; waits until the log has the delivery, at most the patience of the run. The text lives in
// the arena. EXIT_DONE, or told.
int receipt_fetch(struct console *console, const char *application_id, const char *kind, char **ret);

// What the log, and the witness where there is one in time, have signed and that covers a position.
struct signed_checkpoint {
    uint64_t size;
    const char *note;     // the log's signature, and the witness's below it
    const char *log;      // the public keys that they name
    const char *witness;  // "" when no witness has signed
};
int checkpoint_fetch(struct console *console, uint64_t position, struct signed_checkpoint *ret);

// Write it where nothing stands yet; "-" or NULL is standard output. EXIT_DONE, or told.
int receipt_store(const char *path, const char *text);

// Where the log's public key is said to be: --key FILE, else LOG_PUB, else log.pub among BUS_KEYS; NULL when nobody says it.
const char *log_public_path(struct console *console);

// Every key in that file: the log's, and those it had before; at least one. EXIT_DONE, or told.
int log_public_keys(struct console *console, struct note_ring *ret);
