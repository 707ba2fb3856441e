// connector: pays through files that a bank takes (ISO 20022). It serves the name "finance" (see
// proto/finance_v1.proto): each order becomes one pain.001 file in the out-tray, exactly once for ever; each
// pain.002 file that the bank lays in the in-tray is told to the payment service, statement by statement,
// until it has answered.
//
// It has no database. What must survive lies in folders on one volume:
//     out/.making/ID.xml   a whole file that is not yet visible
//     state/ID             the order was taken: its body's hash and what a status needs to know
//     out/ID.xml           visible to the bank, which takes it away
// An order is first made whole, then recorded, then renamed into view. Whoever finds the record but no file
// under .making knows that the bank has had it, whatever process died when.
#pragma once

#include "message/message.h"
#include "metrics/vitals.h"

#include "finance_v1.pb-c.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef Finance__V1__PayOrder PayOrder;
typedef Finance__V1__OrderTaken OrderTaken;
typedef Finance__V1__ReportStatus ReportStatus;

#define PAIN_BYTES    (1024 * 1024)  // the largest file that is read
#define PAIN_DEPTH    64             // of elements within each other
#define PAIN_ELEMENTS 100000
#define PAIN_ID       35  // characters of an ISO 20022 identifier

// Who pays, and through which bank: bic or clearing is set.
struct debtor {
    const char *name;
    const char *account;
    const char *bic;
    const char *clearing;
};

// Folders, without a slash at the end.
struct trays {
    const char *out;
    const char *making;
    const char *in;
    const char *done;
    const char *rejected;
    const char *state;
};

// order.c: an order as a file -------------------------------------------------------------------------------

// The name of an order's file and message for ever: "T" and 26 characters of base32.
char *order_message_id(arena_t *arena, const char *order_id);
// Is this an order a bank could carry out? REFUSED with the field that is wrong.
status_t order_check(struct message *message, const PayOrder *order);
// The pain.001.001.09 file. Equal orders are equal bytes.
ProtobufCBinaryData order_write(arena_t *arena, const struct debtor *debtor, const PayOrder *order);

// schema.c: the official schemas, where the operator has put them -------------------------------------------

typedef struct schema schema_t;
// Load folder/name. NULL when folder is NULL or "" or the file is not there; the process ends when it is no
// schema.
schema_t *schema_load(const char *folder, const char *name);
void schema_destroy(schema_t **schema_p);
// What is wrong with a parsed document (xmlDoc) or a file's bytes; NULL when it is valid. schema NULL: not
// checked.
const char *schema_check(const schema_t *schema, arena_t *arena, void *document);
const char *schema_check_bytes(const schema_t *schema, arena_t *arena, ProtobufCBinaryData bytes);

// files.c: files that are whole or not there ----------------------------------------------------------------

// Write a file under a temporary name, sync it, rename it and sync the folder. OK, or RETRY with the reason.
status_t file_write(struct message *message, const char *folder, const char *name, const void *bytes,
                    size_t size);
// Read a regular file of at most most bytes; a link, a pipe or a larger file is REFUSED, a missing one RETRY.
status_t file_read(struct message *message, const char *folder, const char *name, size_t most,
                   ProtobufCBinaryData *ret);
bool file_exists(const char *folder, const char *name);
enum moved { MOVED, MOVED_BEFORE, MOVED_ON_ANOTHER, MOVED_NOT };
// Rename a file from one folder to another without covering one that is there, and sync both folders.
enum moved file_move(const char *from, const char *name, const char *to, const char *to_name);

// outtray.c: hand over exactly once -------------------------------------------------------------------------

// Take the order: record it and bring its file into view. OK also when it was taken before; REFUSED when its
// id was taken with another body; RETRY when the disk will not have it.
status_t outtray_take(struct message *message, const struct trays *trays, const PayOrder *order,
                      ProtobufCBinaryData file);
// The end-to-end id of the order that went out under a message id; NULL when there was none.
const char *outtray_end_to_end_id(struct message *message, const struct trays *trays, const char *message_id);

// pain002.c: what the bank says -----------------------------------------------------------------------------

// One thing said about one payment. end_to_end_id "" where it was said about a whole file.
struct statement {
    char *message_id;  // of the order's file
    char *end_to_end_id;
    Finance__V1__ReportStatus__State state;
    char *code;
    char *text;
    int64_t amount_ore;  // 0: not stated
};
struct statements {
    char *message_id;  // the bank's own, of its file
    int count;
    struct statement *all;
};
// Read a pain.002.001.10 or .03 file. NULL, or a sentence about what is wrong with it.
const char *pain002_read(arena_t *arena, ProtobufCBinaryData bytes, const schema_t *schema,
                         struct statements *ret);

// intray.c: tell the payment service ------------------------------------------------------------------------

struct intray;
// Asks the payment service; true when the question has left. (The bus, and in tests what stands for it.)
typedef bool intray_ask_f(void *bus, const char *id, const ReportStatus *status);
struct intray *intray_new(const struct trays *trays, const schema_t *schema, intray_ask_f *teller, void *bus);
void intray_destroy(struct intray **intray_p);
// Look at the tray and at what waits for an answer. Returns in how many milliseconds to come again, at the
// latest.
int intray_turn(struct intray *intray, int64_t stopwatch_ms);
// An answer came; true when it was to a question of ours.
bool intray_answered(struct intray *intray, const Bus__V1__Reply *reply);
// What it has done since it was made, and what lies in the tray now.
struct intray_counts {
    uint64_t told, refused, poison;  // statements, by what the payment service answered for good
    uint64_t rejected;               // files laid under rejected
    int files;                       // in the tray
    int64_t oldest_ms;               // age of the oldest of them by its own time; 0: none
};
struct intray_counts intray_counts(const struct intray *intray);

// figures.c: how the connector is doing ---------------------------------------------------------------------

struct connector_figures;
struct connector_figures *connector_figures_new(vitals_t *vitals);
void connector_figures_destroy(struct connector_figures **figures_p);
// An order was answered.
void connector_figures_order(struct connector_figures *figures, status_t outcome);
// Bring the figures up to date and doubt trays that cannot be written.
void connector_figures_show(struct connector_figures *figures, vitals_t *vitals, const struct trays *trays,
                            const struct intray_counts *counts);
// Can every tray be written? NULL, or a sentence about the first that cannot.
const char *trays_fault(arena_t *arena, const struct trays *trays);
