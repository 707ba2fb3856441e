// client: the bench's load generator, one DEALER with CURVE that speaks the bus from proto/ alone.
//
// It keeps OUTSTANDING requests under way (closed loop), or offers RATE requests a second whatever becomes of
// them (open loop), and prints one line of JSON: how many, how fast, how long each took. Every id that was
// answered OK is written to a file, for the checker to look for. It shares no code with what it measures but
// the generated messages.
#include "bus_v1.pb-c.h"
#include "eventlog_v1.pb-c.h"
#include "intake_v1.pb-c.h"

#include <assert.h>
#include <inttypes.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <zmq.h>

#define ID_SIZE              37
#define FRAME_BYTES          (256 * 1024)
#define OUTSTANDING          4000      // what the broker lets one key have under way
#define EVENT_PADDING        300       // makes an event of the append case about 600 bytes long
#define SILENCE_US           2000000   // after this a request is sent again under its id
#define PATIENCE_US          30000000  // without any answer for so long the run is given up
#define OPEN_LOOP_US         5000000   // how long an open loop waits for its last answers
#define TYPES(package, name) #package ".v1." #name

// What to do; every field is an argument name=value.
struct plan {
    const char *broker, *keys, *name;
    const char *what;           // append, start, save, request, ping
    const char *content;        // file with the bytes of an intake.v1.Content, for save
    const char *organisations;  // numbers parted by commas; request i speaks for one of them
    const char *call;           // the call's id, for start
    const char *acks;           // file to which ids that were answered OK are added; "" none
    long count;                 // requests at most
    double seconds;             // and for how long at most; 0: until count
    long outstanding;           // closed loop
    double rate;                // open loop, a second; 0: closed loop
    long first;                 // number of the first application
    long version;               // its expected_version
    long
        drafts;  // save: so many, one after the other and again, each at the version it has reached; 0: each once
    long run;  // makes streams of different runs different
};

// One request under way.
struct flight {
    char id[ID_SIZE];
    uint8_t *body;
    size_t body_size;
    const char *type;
    const char *service;
    long number;
    long version;
    long slot;
    int64_t sent_us;   // the first time
    int64_t again_us;  // when it is sent again
    bool under_way;
};

// One of the drafts that are saved again and again. What may have been saved without a word is not touched again.
struct draft {
    long version;
    bool busy;
};

struct run {
    struct plan plan;
    void *context, *socket;
    struct flight *flights;  // by slot
    long slots;
    uint32_t *table;  // open addressing over ids: slot + 1
    long *versions;   // of each slot's stream
    struct draft *drafts;
    long next, next_draft, under_way;
    long ok, refused, shed, other, sent_again;
    uint32_t *latencies;
    FILE *acks;
    char **organisations;
    int organisation_count;
    Intake__V1__Content *content;
    char why[256];  // the first answer that was not OK
};

static int64_t now_us(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return time.tv_sec * INT64_C(1000000) + time.tv_nsec / 1000;
}

static _Noreturn void give_up(const char *what)
{
    fprintf(stderr, "bench_client: %s\n", what);
    exit(1);
}

// ----------------------------------------------------------------------------------------------- identifiers

static uint64_t chance(void)
{
    static uint64_t state;
    if (state == 0 && getrandom(&state, sizeof state, 0) != sizeof state)
        give_up("no random numbers");
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state;
}

static void uuid_text(char ret[ID_SIZE], uint64_t ms, uint64_t high, uint64_t low)
{
    snprintf(ret, ID_SIZE, "%08" PRIx64 "-%04" PRIx64 "-7%03" PRIx64 "-%04" PRIx64 "-%012" PRIx64,
             ms >> 16 & 0xffffffff, ms & 0xffff, high & 0xfff, 0x8000 | (low >> 48 & 0x3fff),
             low & 0xffffffffffff);
}

// RFC 9562 version 7.
static void uuid_new(char ret[ID_SIZE])
{
    struct timespec time;
    clock_gettime(CLOCK_REALTIME, &time);
    uuid_text(ret, (uint64_t)time.tv_sec * 1000 + (uint64_t)time.tv_nsec / 1000000, chance(), chance());
}

// The id of application number n, the same in every run; ordered as a real stack's are.
static void application_id(char ret[ID_SIZE], long number)
{
    uuid_text(ret, 0x018f00000000 + (uint64_t)number / 16, (uint64_t)number % 16, (uint64_t)number);
}

// --------------------------------------------------------------------------------------------- what is asked

static uint8_t *packed(const void *message, size_t *ret_size)
{
    *ret_size = protobuf_c_message_get_packed_size(message);
    uint8_t *bytes = malloc(*ret_size + 1);
    assert(bytes);
    protobuf_c_message_pack(message, bytes);
    return bytes;
}

static void take(struct flight *flight, const char *service, const char *type, const void *body)
{
    flight->service = service;
    flight->type = type;
    flight->body = packed(body, &flight->body_size);
}

// The next event of the slot's own stream: it is sent only when the one before it stands in the log.
static void make_append(struct run *run, struct flight *flight)
{
    static char padding[EVENT_PADDING + 1];
    char stream[128], id[ID_SIZE], application[ID_SIZE];
    Intake__V1__ApplicationWithdrawn fact = INTAKE__V1__APPLICATION_WITHDRAWN__INIT;
    Eventlog__V1__Event event = EVENTLOG__V1__EVENT__INIT;
    Eventlog__V1__Append append = EVENTLOG__V1__APPEND__INIT;
    Bus__V1__Actor actor = BUS__V1__ACTOR__INIT;

    memset(padding, 'x', EVENT_PADDING);
    application_id(application, flight->slot);
    uuid_new(id);
    snprintf(stream, sizeof stream, "intake/application/bench-%ld-%ld", run->plan.run, flight->slot);
    fact.application_id = application;
    fact.call_id = (char *)"bench";
    fact.reason = padding;
    actor.subject = (char *)"intake";
    actor.role = BUS__V1__ACTOR__ROLE__SERVICE;
    event.id = id;
    event.source = (char *)"intake";
    event.type = (char *)TYPES(intake, ApplicationWithdrawn);
    event.stream = stream;
    event.version = (uint64_t)++run->versions[flight->slot];
    event.subject = application;
    event.time_us = INT64_C(1700000000000000);
    event.actor = &actor;
    event.causation = flight->id;
    event.correlation = flight->id;
    event.rule_set = (char *)"2024-1";
    event.rehearsal = true;
    event.data.data = packed(&fact, &event.data.len);
    ProtobufCBinaryData bytes;
    bytes.data = packed(&event, &bytes.len);
    append.n_events = 1;
    append.events = &bytes;
    take(flight, "eventlog", TYPES(eventlog, Append), &append);
    free(bytes.data);
    free(event.data.data);
}

static void make_start(struct run *run, struct flight *flight)
{
    char application[ID_SIZE];
    Intake__V1__StartDraft command = INTAKE__V1__START_DRAFT__INIT;

    application_id(application, flight->number);
    command.application_id = application;
    command.call_id = (char *)run->plan.call;
    take(flight, "intake", TYPES(intake, StartDraft), &command);
}

static void make_save(struct run *run, struct flight *flight)
{
    char application[ID_SIZE];
    Intake__V1__SaveDraft command = INTAKE__V1__SAVE_DRAFT__INIT;

    application_id(application, flight->number);
    command.application_id = application;
    command.expected_version = (uint32_t)flight->version;
    command.content = run->content;
    // The lead's own share, or the rules find a stranger in the budget.
    run->content->budget[0]->own[0]->organisation_number =
        run->organisations[flight->number % run->organisation_count];
    take(flight, "intake", TYPES(intake, SaveDraft), &command);
}

static void make_request(struct run *run, struct flight *flight)
{
    char application[ID_SIZE];
    Intake__V1__RequestApproval command = INTAKE__V1__REQUEST_APPROVAL__INIT;

    application_id(application, flight->number);
    command.application_id = application;
    command.expected_version = (uint32_t)run->plan.version;
    take(flight, "intake", TYPES(intake, RequestApproval), &command);
}

// A question that costs nothing where it is answered: what remains is the way there and back.
static void make_ping(struct run *run, struct flight *flight)
{
    Eventlog__V1__GetHead query = EVENTLOG__V1__GET_HEAD__INIT;

    (void)run;
    take(flight, "eventlog", TYPES(eventlog, GetHead), &query);
}

static const struct {
    const char *what;
    void (*make)(struct run *run, struct flight *flight);
} makers[] = {{"append", make_append},
              {"start", make_start},
              {"save", make_save},
              {"request", make_request},
              {"ping", make_ping}};

static void make(struct run *run, struct flight *flight)
{
    for (size_t i = 0; i < sizeof makers / sizeof makers[0]; i++) {
        if (strcmp(makers[i].what, run->plan.what) == 0) {
            makers[i].make(run, flight);
            return;
        }
    }
    give_up("what=: append, start, save, request or ping");
}

// ------------------------------------------------------------------------------------------------ the bus

static void set_number(void *socket, int option, int value)
{
    if (zmq_setsockopt(socket, option, &value, sizeof value) != 0)
        give_up(zmq_strerror(zmq_errno()));
}

// A key in the form of CZMQ's certificates: the first value named so, after a line `after` when that is
// given.
static void read_key(const char *path, const char *after, const char *name, char ret[41])
{
    char line[512];
    bool seen = after == NULL;
    FILE *file = fopen(path, "r");

    if (!file)
        give_up("the folder of keys cannot be read");
    while (fgets(line, sizeof line, file)) {
        if (!seen)
            seen = strncmp(line, after, strlen(after)) == 0 && line[strlen(after)] == '\n';
        const char *found = seen ? strstr(line, name) : NULL;
        const char *quote = found ? strchr(found, '"') : NULL;
        if (quote && strlen(quote) > 41) {
            memcpy(ret, quote + 1, 40);
            ret[40] = '\0';
            fclose(file);
            return;
        }
    }
    give_up("a key is missing in the folder of keys");
}

static void connect_bus(struct run *run)
{
    char path[4096], own_public[41], own_secret[41], server[41];

    snprintf(path, sizeof path, "%s/%s.secret.zpl", run->plan.keys, run->plan.name);
    read_key(path, NULL, "public-key", own_public);
    read_key(path, NULL, "secret-key", own_secret);
    snprintf(path, sizeof path, "%s/registry.zpl", run->plan.keys);
    read_key(path, "broker", "public", server);
    run->context = zmq_ctx_new();
    run->socket = zmq_socket(run->context, ZMQ_DEALER);
    zmq_setsockopt(run->socket, ZMQ_CURVE_PUBLICKEY, own_public, 41);
    zmq_setsockopt(run->socket, ZMQ_CURVE_SECRETKEY, own_secret, 41);
    zmq_setsockopt(run->socket, ZMQ_CURVE_SERVERKEY, server, 41);
    set_number(run->socket, ZMQ_LINGER, 0);
    set_number(run->socket, ZMQ_SNDHWM, 0);
    set_number(run->socket, ZMQ_RCVHWM, 0);
    if (zmq_connect(run->socket, run->plan.broker) != 0)
        give_up("the broker's address cannot be used");
}

static void send_flight(struct run *run, struct flight *flight, int64_t at_us)
{
    Bus__V1__Actor actor = BUS__V1__ACTOR__INIT;
    Bus__V1__Request request = BUS__V1__REQUEST__INIT;
    Bus__V1__Packet packet = BUS__V1__PACKET__INIT;
    bool service = strcmp(run->plan.name, "intake") == 0;
    uint8_t bytes[1024];

    actor.subject = (char *)(service ? "intake" : "bench.editor");
    actor.role = service ? BUS__V1__ACTOR__ROLE__SERVICE : BUS__V1__ACTOR__ROLE__EDITOR;
    if (!service)
        actor.organisation = run->organisations[flight->number % run->organisation_count];
    request.service = (char *)flight->service;
    request.id = flight->id;
    request.type = (char *)flight->type;
    request.actor = &actor;
    request.timeout_ms = 120000;
    packet.kind_case = BUS__V1__PACKET__KIND_REQUEST;
    packet.request = &request;
    assert(protobuf_c_message_get_packed_size(&packet.base) < sizeof bytes);
    size_t size = protobuf_c_message_pack(&packet.base, bytes);
    zmq_send(run->socket, bytes, size, ZMQ_SNDMORE);
    zmq_send(run->socket, flight->body, flight->body_size, 0);
    flight->again_us = at_us + SILENCE_US;
}

// ------------------------------------------------------------------------------------------- ids under way

static uint32_t slot_hash(const char *id)
{
    uint32_t hash = 2166136261u;
    for (; *id; id++)
        hash = (hash ^ (uint8_t)*id) * 16777619u;
    return hash;
}

static uint32_t table_size(const struct run *run)
{
    uint32_t size = 1024;
    while (size < (uint32_t)run->slots * 4)
        size *= 2;
    return size;
}

static uint32_t *table_find(struct run *run, const char *id)
{
    uint32_t mask = table_size(run) - 1, at = slot_hash(id) & mask;
    while (run->table[at] != 0 && strcmp(run->flights[run->table[at] - 1].id, id) != 0)
        at = (at + 1) & mask;
    return &run->table[at];
}

// Closing the gap keeps later entries of the same chain reachable.
static void table_remove(struct run *run, uint32_t *place)
{
    uint32_t mask = table_size(run) - 1, hole = (uint32_t)(place - run->table);
    run->table[hole] = 0;
    for (uint32_t at = (hole + 1) & mask; run->table[at] != 0; at = (at + 1) & mask) {
        uint32_t slot = run->table[at];
        run->table[at] = 0;
        *table_find(run, run->flights[slot - 1].id) = slot;
    }
}

// ------------------------------------------------------------------------------------------------ the loops

static long free_draft(struct run *run)
{
    for (long tries = 0; tries < run->plan.drafts; tries++) {
        long draft = run->next_draft++ % run->plan.drafts;
        if (!run->drafts[draft].busy)
            return draft;
    }
    give_up("drafts= are too few");
}

static void launch(struct run *run, long slot, int64_t at_us)
{
    struct flight *flight = &run->flights[slot];
    long n = run->drafts ? free_draft(run) : run->next;

    free(flight->body);
    *flight = (struct flight){.slot = slot,
                              .number = run->plan.first + n,
                              .version = run->drafts ? run->drafts[n].version : run->plan.version,
                              .under_way = true};
    if (run->drafts)
        run->drafts[n].busy = true;
    run->next++;
    uuid_new(flight->id);
    make(run, flight);
    *table_find(run, flight->id) = (uint32_t)slot + 1;
    flight->sent_us = at_us;
    run->under_way++;
    send_flight(run, flight, at_us);
}

// An Append may be answered and its event not stored; here that is the end.
static void expect_stored(const struct run *run, const uint8_t *body, size_t size)
{
    if (strcmp(run->plan.what, "append") != 0)
        return;
    Eventlog__V1__Appended *appended = eventlog__v1__appended__unpack(NULL, size, body);
    if (!appended || appended->n_results != 1)
        give_up("the log's answer cannot be read");
    if (appended->results[0]->result != EVENTLOG__V1__APPENDED__RESULT__STORED)
        give_up(*appended->results[0]->reason ? appended->results[0]->reason : "the log held an event back");
    eventlog__v1__appended__free_unpacked(appended, NULL);
}

static void land(struct run *run, uint32_t *place, const Bus__V1__Reply *reply)
{
    struct flight *flight = &run->flights[*place - 1];
    int64_t at_us = now_us();

    if (reply->status == BUS__V1__REPLY__STATUS__OK) {
        run->latencies[run->ok++] = (uint32_t)(at_us - flight->sent_us);
        if (run->acks)
            fprintf(run->acks, "%s\n", flight->id);
    } else if (reply->status == BUS__V1__REPLY__STATUS__REFUSED ||
               reply->status == BUS__V1__REPLY__STATUS__POISON) {
        run->refused++;
        if (!run->why[0])
            snprintf(run->why, sizeof run->why, "%.250s", reply->reason);
    } else if (run->plan.rate == 0) {
        flight->again_us = at_us + (reply->retry_after_ms + 1) * INT64_C(1000);  // the closed loop asks again
        run->sent_again++;
        return;
    } else if (reply->status == BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED) {
        run->shed++;
    } else {
        run->other++;
    }
    if (run->drafts && (reply->status == BUS__V1__REPLY__STATUS__OK ||
                        reply->status == BUS__V1__REPLY__STATUS__RESOURCE_EXHAUSTED)) {
        struct draft *draft = &run->drafts[flight->number - run->plan.first];
        draft->busy = false;
        draft->version += reply->status == BUS__V1__REPLY__STATUS__OK;
    }
    table_remove(run, place);
    flight->under_way = false;
    run->under_way--;
}

// The slot of an answer that has come, -1 when none has, -2 when it belongs to nothing here.
static long receive(struct run *run)
{
    static uint8_t head[4096], body[FRAME_BYTES];
    int size = zmq_recv(run->socket, head, sizeof head, ZMQ_DONTWAIT);
    if (size < 0)
        return -1;
    int body_size = zmq_recv(run->socket, body, sizeof body, 0);
    Bus__V1__Packet *packet = bus__v1__packet__unpack(NULL, (size_t)size, head);
    long slot = -2;
    if (packet && packet->kind_case == BUS__V1__PACKET__KIND_REPLY) {
        uint32_t *place = table_find(run, packet->reply->id);
        if (*place != 0) {
            slot = (long)*place - 1;
            if (packet->reply->status == BUS__V1__REPLY__STATUS__OK)
                expect_stored(run, body, (size_t)body_size);
            land(run, place, packet->reply);
        }
    }
    bus__v1__packet__free_unpacked(packet, NULL);
    return slot;
}

static void wait_for_answers(struct run *run, int timeout_ms)
{
    zmq_pollitem_t item = {.socket = run->socket, .events = ZMQ_POLLIN};
    zmq_poll(&item, 1, timeout_ms);
}

// To the microsecond, which zmq_poll can not, and asleep: a generator that looks again and again takes one of the cores
// from what it measures. Only after receive has found nothing, for a socket's file tells of what is new.
static void wait_until(struct run *run, int64_t due_us)
{
    int64_t left_us = due_us - now_us();
    struct timespec left = {.tv_sec = left_us / 1000000, .tv_nsec = left_us % 1000000 * 1000};
    struct pollfd file = {.events = POLLIN};
    size_t size = sizeof file.fd;

    if (left_us <= 0)
        return;
    if (zmq_getsockopt(run->socket, ZMQ_FD, &file.fd, &size) != 0)
        give_up(zmq_strerror(zmq_errno()));
    ppoll(&file, 1, &left, NULL);
}

static void send_again(struct run *run, int64_t at_us)
{
    for (long slot = 0; slot < run->slots; slot++) {
        struct flight *flight = &run->flights[slot];
        if (flight->under_way && at_us >= flight->again_us)
            send_flight(run, flight, at_us);
        if (flight->under_way && at_us - flight->sent_us > PATIENCE_US)
            give_up("a request was not answered within its time");
    }
}

static void closed_loop(struct run *run)
{
    int64_t end_us = run->plan.seconds > 0 ? now_us() + (int64_t)(run->plan.seconds * 1e6) : INT64_MAX;
    int64_t looked_us = now_us();

    for (long slot = 0; slot < run->slots && run->next < run->plan.count; slot++)
        launch(run, slot, now_us());
    while (run->under_way > 0) {
        long slot = receive(run);
        int64_t at_us = now_us();
        if (slot >= 0 && !run->flights[slot].under_way && run->next < run->plan.count && at_us < end_us)
            launch(run, slot, at_us);
        if (slot == -1)
            wait_for_answers(run, 5);
        if (at_us - looked_us > 5000) {
            looked_us = at_us;
            send_again(run, at_us);
        }
    }
}

// Requests leave when their time has come; those that cannot because all slots are taken count as not
// offered.
static void open_loop(struct run *run)
{
    int64_t began_us = now_us(), end_us = began_us + (int64_t)(run->plan.seconds * 1e6);
    long slot = 0;

    while (now_us() < end_us && run->next < run->plan.count) {
        int64_t at_us = now_us();
        long due = (long)((double)(at_us - began_us) / 1e6 * run->plan.rate);
        int sent = 0;
        for (; run->next < due && run->next < run->plan.count && sent < 64 && run->under_way < run->slots;
             sent++) {
            while (run->flights[slot].under_way)
                slot = (slot + 1) % run->slots;
            launch(run, slot, at_us);
        }
        int received = 0;
        while (received < 256 && receive(run) != -1)
            received++;
        if (received == 0) {
            int64_t due_us = began_us + (int64_t)((double)(run->next + 1) / run->plan.rate * 1e6);
            wait_until(run, run->under_way < run->slots ? due_us : now_us() + 1000);
        }
    }
    for (end_us = now_us() + OPEN_LOOP_US; run->under_way > 0 && now_us() < end_us;)
        if (receive(run) == -1)
            wait_for_answers(run, 5);
}

// ------------------------------------------------------------------------------------------- what came of it

static int by_size(const void *one, const void *other)
{
    uint32_t a = *(const uint32_t *)one, b = *(const uint32_t *)other;
    return a < b ? -1 : a > b;
}

static uint32_t percentile(const struct run *run, double part)
{
    return run->ok == 0 ? 0 : run->latencies[(long)((double)(run->ok - 1) * part)];
}

static void report(struct run *run, double seconds)
{
    qsort(run->latencies, (size_t)run->ok, sizeof *run->latencies, by_size);
    printf("{\"sent\": %ld, \"ok\": %ld, \"refused\": %ld, \"shed\": %ld, \"unavailable\": %ld, "
           "\"unanswered\": %ld, "
           "\"sent_again\": %ld, \"seconds\": %.6f, \"rate\": %.1f, \"p50_us\": %u, \"p99_us\": %u, "
           "\"max_us\": %u, "
           "\"why\": \"%s\"}\n",
           run->next, run->ok, run->refused, run->shed, run->other, run->under_way, run->sent_again, seconds,
           (double)run->ok / seconds, percentile(run, 0.5), percentile(run, 0.99), percentile(run, 1.0),
           run->why);
}

static void load_content(struct run *run)
{
    static uint8_t bytes[FRAME_BYTES];

    if (!*run->plan.content)
        return;
    FILE *file = fopen(run->plan.content, "rb");
    if (!file)
        give_up("content= cannot be read");
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    run->content = intake__v1__content__unpack(NULL, size, bytes);
    if (!run->content)
        give_up("content= is no intake.v1.Content");
}

static void split_organisations(struct run *run)
{
    char *text = strdup(run->plan.organisations);
    for (char *one = strtok(text, ","); one; one = strtok(NULL, ",")) {
        run->organisations = realloc(run->organisations,
                                     sizeof(char *) * (size_t)(run->organisation_count + 1));
        run->organisations[run->organisation_count++] = one;
    }
    if (run->organisation_count == 0)
        give_up("organisations= names none");
}

static void read_plan(struct plan *plan, int argc, char **argv)
{
    const struct {
        const char *name;
        const char **text;
        long *number;
        double *real;
    } fields[] = {{"broker", &plan->broker},
                  {"keys", &plan->keys},
                  {"name", &plan->name},
                  {"what", &plan->what},
                  {"content", &plan->content},
                  {"organisations", &plan->organisations},
                  {"call", &plan->call},
                  {"acks", &plan->acks},
                  {"count", NULL, &plan->count},
                  {"seconds", NULL, NULL, &plan->seconds},
                  {"outstanding", NULL, &plan->outstanding},
                  {"rate", NULL, NULL, &plan->rate},
                  {"first", NULL, &plan->first},
                  {"version", NULL, &plan->version},
                  {"drafts", NULL, &plan->drafts},
                  {"run", NULL, &plan->run}};

    for (int i = 1; i < argc; i++) {
        const char *equals = strchr(argv[i], '=');
        bool known = false;
        for (size_t n = 0; equals && n < sizeof fields / sizeof fields[0]; n++) {
            if (strncmp(argv[i], fields[n].name, (size_t)(equals - argv[i])) != 0 ||
                fields[n].name[equals - argv[i]] != '\0')
                continue;
            known = true;
            if (fields[n].text)
                *fields[n].text = equals + 1;
            else if (fields[n].number)
                *fields[n].number = atol(equals + 1);
            else
                *fields[n].real = atof(equals + 1);
        }
        if (!known)
            give_up("arguments are name=value; see struct plan");
    }
}

int main(int argc, char **argv)
{
    static struct run run = {.plan = {.broker = "",
                                      .keys = "",
                                      .name = "rehearsal",
                                      .what = "",
                                      .content = "",
                                      .organisations = "000000000",
                                      .call = "",
                                      .acks = "",
                                      .count = 1,
                                      .outstanding = 1}};

    read_plan(&run.plan, argc, argv);
    run.slots = run.plan.rate > 0 ? OUTSTANDING : run.plan.outstanding;
    if (run.slots < 1 || run.slots > OUTSTANDING)
        give_up("outstanding= is 1 to 4000");
    run.flights = calloc((size_t)run.slots, sizeof *run.flights);
    run.versions = calloc((size_t)run.slots, sizeof *run.versions);
    run.table = calloc(table_size(&run), sizeof *run.table);
    run.latencies = calloc((size_t)run.plan.count + 1, sizeof *run.latencies);
    run.drafts = run.plan.drafts > 0 ? calloc((size_t)run.plan.drafts, sizeof *run.drafts) : NULL;
    assert(run.flights && run.versions && run.table && run.latencies);
    for (long i = 0; i < run.plan.drafts; i++)
        run.drafts[i].version = run.plan.version;
    load_content(&run);
    split_organisations(&run);
    if (*run.plan.acks && !(run.acks = fopen(run.plan.acks, "a")))
        give_up("acks= cannot be written");
    connect_bus(&run);
    int64_t began_us = now_us();
    if (run.plan.rate > 0)
        open_loop(&run);
    else
        closed_loop(&run);
    report(&run, (double)(now_us() - began_us) / 1e6);
    if (run.acks && fclose(run.acks) != 0)
        give_up("acks= cannot be written");
    zmq_close(run.socket);
    zmq_ctx_term(run.context);
    return 0;
}
