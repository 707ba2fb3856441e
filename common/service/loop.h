// loop: what the files of this folder share. Not for services: they see service.h.
//
//   run.c                            the process: its options, and the turn that everything happens in
//   dispatch.c                       from a type to its row, from a row to what was decided, from that to numbered
//                                    and applied events
//   inbox.c                          what has arrived becomes one transaction, and then answers
//   ahead.c                          what a batch will ask of the database, asked at once
//   streams.c                        the versions of the streams that a transaction adds to
//   outbox.c                         committed events on their way to the event log
//   ask.c                            requests to others, until they are answered
//   follow.c, park.c                 the event log, heard in order; what could not be heard
//   timers.c                         what the calendar has made due
//   operate.c                        service.v1: status, incidents, redrive
//   private.c                        personal text: sealed on its way in, opened for queries, erased
//   figures.c                        what it counts, and how it is doing
//   replay.c, query.c, describe.c    the other things a service's program can do
#pragma once

#include "bus/bus.h"
#include "eventlog_v1.pb-c.h"
#include "limits/limits.h"
#include "metrics/vitals.h"
#include "service/service.h"

#include <string.h>

// An event that was made in the transaction under way: numbered, applied and encoded for the log.
struct made {
    const char *id;
    const char *stream;
    uint64_t version;
    struct arg bytes;
    struct made *next;
};

// A request that was decided in the transaction under way.
struct wanted {
    const char *id;
    const char *service;
    const char *type;
    const char *correlation;
    struct arg body;
    struct wanted *next;
};

// A stream that the transaction under way adds to, or may.
struct stream {
    const char *id;
    uint64_t stored;   // its last version in the database; 0: it has none
    uint64_t version;  // its last version
    struct stream *next;
};

// What a transaction has brought, in order; everything lives in the arena named here.
struct harvest {
    arena_t *arena;
    struct stream *streams;
    const char **holding;  // streams that were asked for and are not among those above yet; NULL: none
    int holding_count;
    struct rows held;      // what the database says of them
    struct made *made, **last_made;
    struct wanted *wanted, **last_wanted;
    int made_count;
    int wanted_count;
};

// One command or query on its way through a turn.
struct work {
    const Bus__V1__Request *request;
    const uint8_t *body;
    size_t body_size;
    bool timer;  // made by ourselves: nothing to answer, nothing to remember
    struct arg digest;
    const void *command;            // decoded, for the attempt under way; NULL: not yet
    struct ahead *ahead;            // what was asked of the database for it
    const struct work *same;        // an earlier work of this turn with the same id
    bool known;                     // answered before: what stands below is the stored answer
    Bus__V1__Reply__Status status;  // UNSPECIFIED: not decided
    const char *reason;
    const char *answer_type;  // "" when there is no body
    struct arg answer;
    int64_t began_ms;
};

struct relay;
struct follow;
struct timers;
struct figures;

// The process's loop.
struct loop {
    const struct service *service;
    const char *instance;
    bool rehearsal;
    bus_t *bus;
    db_t *db;
    arena_t *turn;  // what came in during this turn, and what will go out
    arena_t *batch;           // what the transaction under way makes, until it is sent
    arena_t *hand;  // the one message in hand
    struct relay *relay;
    struct follow *follow;  // NULL for services that hear nothing
    struct timers *timers;
    vitals_t *vitals;
    struct figures *figures;
    int64_t started_ms;
    int64_t ticked_ms;
    int64_t reported_ms;
    int64_t down_until_ms;  // the database is away: not tried before this
    int down_tries;
    int64_t answered_ms;  // the database answered a statement then; 0: never
    char waits_for[LIMIT_REASON_BYTES];  // why the database does not serve us, as it was told; "": it does
    int64_t asked_ms;         // requests to others were looked for then; 0: look now
    int64_t leading_backend;  // the server process in which we hold the lease; 0: we do not
    uint64_t head;            // the last position of the log that we know of
    bool stopping;
    uint64_t commands, queries, batches;
};

// A message for the loop's own statements: on the turn's arena and our connection.
struct message loop_message(const struct loop *loop);
// A message for the statements of one transaction: on an arena that forgets the transaction before.
struct message loop_transaction(const struct loop *loop);

// Why it failed, kept until the turn ends; never NULL.
const char *loop_reason(const struct loop *loop, const struct message *message);

// Is the database there? Connects when it is time to try again. Ends the process when a statement cannot be
// prepared, or when the schema has a step that this program can not run with.
bool loop_connected(struct loop *loop);

// Do we hear events and fire timers?
static inline bool loop_leads(const struct loop *loop)
{
    return loop->leading_backend != 0;
}

// Something went wrong in the database: is it still the server process that holds our lease? Forgets the
// lease if not. True: the connection is whole and was never lost, so what failed is to blame itself.
bool loop_same_connection(struct loop *loop);

// ---- dispatch.c

struct harvest harvest_new(arena_t *arena);

// Decide a command, decoded (NULL: from its body): role, decode, decide, and everything it emitted and asked numbered, applied and put into
// the harvest. Never RETRY or POISON with something in the harvest that shall be kept: the caller rolls back.
status_t dispatch_command(const struct service *service, struct message *message, const void *command,
                          const uint8_t *body, size_t size, struct harvest *harvest);
status_t dispatch_query(const struct service *service, struct message *message, const uint8_t *body,
                        size_t size);
status_t dispatch_answer(const struct service *service, struct message *message, const char *type,
                         const struct arg *request, const Bus__V1__Reply *reply, const uint8_t *body,
                         size_t size, struct harvest *harvest);

// Another's event: hear, then react (unless replaying).
status_t dispatch_heard(const struct service *service, struct message *message, const actor_t *actor,
                        struct harvest *harvest, bool replaying);
// An own event read back from the log: apply, exactly as when it was made.
status_t dispatch_applied(const struct service *service, struct message *message);

// Is this role among those of the set?
bool role_among(const actor_t *actor, uint64_t roles);

bool service_asks_query(const struct service *service, const char *type);
const struct heard_row *service_heard(const struct service *service, const char *type);  // NULL: not heard
bool service_hears(const struct service *service, const char *type);

// ---- streams.c

// Hold streams, by LATER: their versions are there once the transaction has waited. They are held in the order of their
// names, so call it once, for all that is known by then.
status_t streams_hold(struct message *message, struct harvest *harvest, const char *const ids[], int count);
// Know these streams: hold those that are not held yet, and wait.
status_t streams_know(struct message *message, struct harvest *harvest, const char *const ids[], int count);
// The next version of a stream that is known.
uint64_t streams_next(struct harvest *harvest, const char *id);
// Store the versions that were given.
status_t streams_keep(struct message *message, const struct harvest *harvest);

// ---- ahead.c

// Within a transaction, before anything is decided: ask for what these works will want to know. Nothing is waited for.
status_t ahead_ask(struct loop *loop, struct message *message, struct work works[], int count,
                   struct harvest *harvest);

// The same for entries of the log, before the first is heard; ret[i] gets what was asked for entries[i].
status_t ahead_hear(struct loop *loop, struct message *message, Eventlog__V1__Entry *const entries[], size_t count,
                    struct harvest *harvest, struct ahead *ret[]);

// ---- inbox.c

// A message in hand for this work, on that arena.
struct message work_message(const struct loop *loop, const struct work *work, arena_t *arena);
// Is it to be decided still?
bool work_open(const struct work *work);

// Take commands (at most LIMIT_BATCH_MESSAGES) through their transaction and answer them.
void inbox_commands(struct loop *loop, struct work works[], int count);
void inbox_queries(struct loop *loop, struct work works[], int count);

// ---- outbox.c

struct relay *relay_new(void);
void relay_destroy(struct relay **relay_p);

// Within a transaction: keep what was made and wanted, and drop what the log has acknowledged.
status_t outbox_keep(struct loop *loop, struct message *message, const struct harvest *harvest);
// After its COMMIT: the acknowledged rows are gone; send what was made.
void outbox_sent(struct loop *loop, const struct harvest *harvest);
// The loop's statements alone, for tests of services.
status_t harvest_keep(struct message *message, const struct harvest *harvest);

// Is this the answer to one of our Appends? Then it is dealt with.
bool relay_reply(struct loop *loop, const struct incoming *incoming);
// What is due: events held back, what others left behind (the leader), acknowledged rows to drop. Returns in
// how many milliseconds something will be due.
int relay_turn(struct loop *loop);
// How many own events are on their way, and for how long the oldest has been. False: others are left behind in the outbox,
// and only the table knows.
bool relay_knows(const struct loop *loop, int *ret_events, int64_t *ret_age_ms);
// Are all Appends answered, and all acknowledged rows dropped?
bool relay_idle(const struct loop *loop);

// ---- ask.c

void ask_turn(struct loop *loop);  // the leader sends what is due
void ask_reply(struct loop *loop, const struct incoming *incoming);

// ---- follow.c, park.c

struct follow *follow_new(const struct service *service);
void follow_destroy(struct follow **follow_p);
void follow_lead(struct loop *loop);  // the lease is new: read the cursor
void follow_feed(struct loop *loop, const struct incoming *incoming);
bool follow_reply(struct loop *loop, const struct incoming *incoming);
// Ask for what is missing, and again when it did not come. Returns in how many milliseconds something will be
// due.
int follow_turn(struct loop *loop);
// What operators let go on is tried again.
void follow_redrive(struct loop *loop);

// What an entry of the log is read for.
enum following {
    FOLLOWING,  // as it comes: others' events are heard and reacted to; own ones are shown to a read model
    REPLAYING,  // own events are applied as well, and nothing is reacted to
    APPLYING,   // an own event is applied, and nothing else
};

// The message in hand for an event of the log, on the arena and connection of that one.
struct message follow_message(const struct service *service, const struct message *on, uint64_t position,
                              const Eventlog__V1__Event *event);

// Handle one entry inside the caller's transaction.
status_t follow_entry(const struct service *service, struct message *message, uint64_t position,
                      const uint8_t *bytes, size_t size, struct harvest *harvest, enum following following);

// What stands still: streams and subjects behind an incident.
struct held;
struct held *held_new(void);
void held_destroy(struct held **held_p);
void held_forget(struct held *held);
// The stream of the incident that this event waits behind; NULL: none.
const char *held_behind(const struct held *held, const char *stream, const char *subject);
void held_add(struct held *held, const char *stream, const char *subject, const char *incident_stream);

status_t park_load(struct message *message, struct held *held);
// Put an event behind its incident, or open one for it.
status_t park_behind(struct message *message, struct held *held, const char *incident_stream,
                     uint64_t position, const Eventlog__V1__Event *event, const uint8_t *bytes, size_t size);
status_t park_open(struct message *message, const char *id, int kind, const char *stream, const char *subject,
                   uint64_t position, const char *type, const char *reason);
// What operators let go on is tried again (the leader). held is NULL for services that hear nothing.
void park_redrive(struct loop *loop, struct held *held);

// How far this process has heard: what the leader has in hand, else stored (the cursor in the database).
uint64_t follow_position(const struct loop *loop, uint64_t stored);
// Does it hear nothing because the log is another, shorter or rewritten?
bool follow_halted(const struct loop *loop);

// ---- timers.c

struct timers *timers_new(void);
void timers_destroy(struct timers **timers_p);
// Something was committed: look again soon.
void timers_stir(struct loop *loop);
// Run what is due (the leader). Returns in how many milliseconds to look again.
int timers_turn(struct loop *loop);

// ---- operate.c

extern const struct command_row operate_commands[];
extern const struct event_row operate_events[];
extern const struct query_row operate_queries[];
// Write how this instance is doing.
void operate_report(struct loop *loop);

// ---- private.c

#define PRIVATE_KEY_BYTES 32

// The personal texts that a command brought.
struct personal {
    const char *case_id;
    struct privates texts;           // those that are not empty
    uint8_t key[PRIVATE_KEY_BYTES];  // of the case
    bool is_new;                     // the key was made for this command
};

// In this order, round a decision: find the texts and note whose the command is; give each its seal, so that rules see
// text and seal; keep them once the command is accepted.
status_t private_find(struct message *message, const void *command, struct personal *ret);
status_t private_ahead(struct message *message, const void *command);  // what private_seal will ask
status_t private_seal(struct message *message, struct personal *personal);
status_t private_keep(struct message *message, const struct personal *personal);

// Rows of operate.c.
handle_f private_on_erase, private_on_erased, private_on_get_erasure;

// ---- figures.c

struct figures *figures_new(const struct service *service, vitals_t *vitals);
void figures_destroy(struct figures **figures_p);
void figures_message(struct figures *figures, const struct work *work);  // one was settled
void figures_batch(struct figures *figures, int commands);               // so many were committed together
// When it is due: figures, and whether the process is ready. Returns how many milliseconds it may wait.
int figures_turn(struct loop *loop);
// Called while the database is waited for at the start.
void figures_waiting(struct loop *loop);

// ---- replay.c, query.c, describe.c

const char *instance_name(void);  // INSTANCE, else the host's name
// again: go on in the schema that an earlier replay made, from where it stands.
int replay_main(const struct service *service, const char *into, const char *until, bool again);
// Bring the live tables, of a database that came back older than the log, up to it.
int catch_up_main(const struct service *service);
// Answer one query from a schema that was rebuilt: bus.v1.Request and body on standard input, bus.v1.Reply and
// body on standard output, each as four bytes of length (most significant first) and that many bytes.
int query_main(const struct service *service, const char *from);
int describe_main(const struct service *service);
