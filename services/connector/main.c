// main: the connector's process: its settings, and its loop between the broker and the trays. See
// connector.h.
#include "connector.h"
#include "bus/bus.h"
#include "bus/end.h"
#include "clock/clock.h"
#include "env/env.h"
#include "env/settings.h"
#include "stop/stop.h"
#include "limits/limits.h"
#include "log/log.h"
#include "values/values.h"

#include <errno.h>
#include <fcntl.h>
#include <libxml/parser.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define CREDIT 16

struct connector {
    struct debtor debtor;
    struct trays trays;
    schema_t *order_schema;  // NULL: structure only
    schema_t *status_schema;
    bus_t *bus;
    arena_t *arena;  // of the message in hand
    struct intray *intray;
    vitals_t *vitals;
    struct connector_figures *figures;
};

// -------------------------------------------------------------------------------------------------- settings

// 8 or 11 characters: four letters or digits, two letters, two, and perhaps three.
static bool bic_valid(const char *bic)
{
    size_t size = strlen(bic);

    return (size == 8 || size == 11) && strspn(bic, "ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789") == size &&
           strcspn(bic + 4, "0123456789") >= 2;
}

static struct debtor debtor_from_env(void)
{
    struct debtor debtor = {.name = env_required("DEBTOR_NAME"),
                            .account = env_required("DEBTOR_ACCOUNT"),
                            .bic = env_or("DEBTOR_BIC", ""),
                            .clearing = env_or("DEBTOR_CLEARING", "")};

    if (!account_number_valid(debtor.account))
        bus_end("DEBTOR_ACCOUNT %s is no account number; 11 digits with a right check digit are",
                debtor.account);
    if (*debtor.bic == '\0' && *debtor.clearing == '\0')
        bus_end("neither DEBTOR_BIC nor DEBTOR_CLEARING is set in the environment");
    if (*debtor.bic != '\0' && !bic_valid(debtor.bic))
        bus_end("DEBTOR_BIC %s is no BIC; 8 or 11 capital letters and digits are", debtor.bic);
    return debtor;
}

static char *folder_beside(const char *folder, const char *form)
{
    char *path;

    if (asprintf(&path, form, folder) < 0)
        abort();
    if (mkdir(path, 0750) != 0 && errno != EEXIST)
        bus_end("the folder %s can not be made: %s", path, strerror(errno));
    return path;
}

// Files are renamed from one to the other, which needs one volume.
static void same_volume(const char *one, const char *other)
{
    struct stat first, second;

    if (stat(one, &first) != 0 || !S_ISDIR(first.st_mode))
        bus_end("%s is not a folder", one);
    if (stat(other, &second) != 0 || !S_ISDIR(second.st_mode))
        bus_end("%s is not a folder", other);
    if (first.st_dev != second.st_dev)
        bus_end("%s and %s are on different volumes; files must be renamed from one to the other", one,
                other);
}

static struct trays trays_from_env(void)
{
    const char *in = env_required("FINANCE_IN"), *out = env_required("FINANCE_OUT");
    const char *rejected = env_or("FINANCE_REJECTED", NULL);
    struct trays trays = {.out = out,
                          .in = in,
                          .done = env_required("FINANCE_DONE"),
                          .state = env_required("FINANCE_STATE"),
                          .making = folder_beside(out, "%s/.making"),
                          .rejected = rejected != NULL ? rejected : folder_beside(in, "%s/../rejected")};

    same_volume(trays.out, trays.making);
    same_volume(trays.in, trays.done);
    same_volume(trays.in, trays.rejected);
    same_volume(trays.state, trays.state);
    return trays;
}

// Two connectors with one memory would hand over twice. The lock lives as long as the process.
static void alone(const char *state)
{
    int fd = open(state, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0 || flock(fd, LOCK_EX | LOCK_NB) != 0)
        bus_end("another connector is using FINANCE_STATE %s", state);
}

// After a restore the bank knows more than we do; a person must compare before anything is paid. The mark lies with
// the memory of orders, so that no way of starting passes by it.
static void not_on_hold(const char *state)
{
    char *path;

    if (asprintf(&path, "%s/HOLD", state) < 0)
        abort();
    if (access(path, F_OK) == 0)
        bus_end("payments are on hold (%s is there): compare with the bank what the log says, see deploy/restore "
                "--payments, and then deploy/restore --release-payments",
                path);
    free(path);
}

// -------------------------------------------------------------------------------------------------- requests

static status_t take_order(struct connector *connector, struct message *message, const PayOrder *order)
{
    status_t status = order_check(message, order);

    if (status != OK)
        return status;
    ProtobufCBinaryData file = order_write(message->arena, &connector->debtor, order);
    const char *fault = schema_check_bytes(connector->order_schema, message->arena, file);
    if (fault != NULL)
        return fail(message, REFUSED, "order %s does not make a file the bank would take: %s",
                    order->order_id, fault);
    status = outtray_take(message, &connector->trays, order, file);
    if (status == OK) {
        OrderTaken taken = FINANCE__V1__ORDER_TAKEN__INIT;
        taken.order_id = order->order_id;
        taken.message_id = order_message_id(message->arena, order->order_id);
        answer(message, &taken);
    }
    return status;
}

static status_t on_request(struct connector *connector, struct message *message,
                           const struct incoming *incoming)
{
    const ProtobufCMessageDescriptor *known = &finance__v1__pay_order__descriptor;
    PayOrder *order;
    status_t status = OK;

    if (strcmp(incoming->request->type, known->name) != 0)
        return fail(message, POISON, "type: finance knows no command or query %s", incoming->request->type);
    if (strcmp(incoming->request->sender, "payment") != 0)
        return fail(message, REFUSED, "%s may not order payments; only the payment service may",
                    incoming->request->sender);
    status = message_decode(message, known, incoming->body, incoming->body_size, &order);
    if (status == OK)
        status = take_order(connector, message, order);
    return status;
}

static void reply(struct connector *connector, const struct message *message, const struct incoming *incoming,
                  status_t status)
{
    static const Bus__V1__Reply__Status replies[] = {[OK] = BUS__V1__REPLY__STATUS__OK,
                                                     [REFUSED] = BUS__V1__REPLY__STATUS__REFUSED,
                                                     [RETRY] = BUS__V1__REPLY__STATUS__UNAVAILABLE,
                                                     [POISON] = BUS__V1__REPLY__STATUS__POISON};
    const Bus__V1__Request *request = incoming->request;
    const char *reason = message->reason != NULL ? message->reason : "";

    if (status == OK)
        log_info("order taken", "id", request->id, "correlation", request->correlation, NULL);
    else
        log_alarm("order not taken", "id", request->id, "sender", request->sender, "reason", reason, NULL);
    connector_figures_order(connector->figures, status);
    bus_reply(connector->bus, request->ticket, request->id, replies[status], reason,
              status == OK ? message->answer_descriptor : NULL, message->answer, message->answer_size);
}

static void handle(struct connector *connector, const struct incoming *incoming)
{
    struct message message = message_new(connector->arena);

    message.id = incoming->request->id;
    message.type = incoming->request->type;
    message.at_us = incoming->request->received_at_us;
    message.actor = incoming->request->actor;
    message.sender = incoming->request->sender;
    status_t status = on_request(connector, &message, incoming);
    reply(connector, &message, incoming, status);
}

// ------------------------------------------------------------------------------------------------------ loop

// The question behind intray_ask_f, on the bus.
static bool ask_payment(void *bus, const char *id, const ReportStatus *status)
{
    uint8_t bytes[8 * 1024];

    if (protobuf_c_message_get_packed_size(&status->base) > sizeof bytes)
        return false;
    size_t size = protobuf_c_message_pack(&status->base, bytes);
    return bus_ask(bus, "payment", id, status->base.descriptor->name, NULL, id, LIMIT_TIMEOUT_MS, bytes,
                   size);
}

static void show(struct connector *connector)
{
    if (vitals_due_ms(connector->vitals) > 0)
        return;
    struct intray_counts counts = intray_counts(connector->intray);
    connector_figures_show(connector->figures, connector->vitals, &connector->trays, &counts);
    vitals_broker(connector->vitals, bus_broker_alive(connector->bus));
    vitals_publish(connector->vitals);
}

static void serve(struct connector *connector)
{
    bool stopping = false;

    while (!stopping) {
        arena_reset(connector->arena);
        int wait_ms = intray_turn(connector->intray, clock_stopwatch_ms());
        show(connector);
        if (wait_ms > LIMIT_HEARTBEAT_MS)
            wait_ms = LIMIT_HEARTBEAT_MS;  // whoever watches sees that the loop turns
        struct incoming incoming = bus_next(connector->bus, connector->arena, wait_ms);
        switch (incoming.kind) {
        case INCOMING_REQUEST:
            handle(connector, &incoming);
            break;
        case INCOMING_REPLY:
            intray_answered(connector->intray, incoming.reply);
            break;
        case INCOMING_STOP:
            stopping = true;  // what is half told is told again under the same ids
            break;
        case INCOMING_NOTHING:
        case INCOMING_FEED:
            break;
        }
    }
}

static int run(void)
{
    stop_at_once();
    struct connector connector = {.debtor = debtor_from_env(), .trays = trays_from_env()};
    struct bus_config config = bus_config_from_env("finance");

    alone(connector.trays.state);
    not_on_hold(connector.trays.state);
    connector.vitals = vitals_start("connector", "");
    connector.figures = connector_figures_new(connector.vitals);
    connector.order_schema = schema_load(env_or("ISO20022_SCHEMAS", NULL), "pain.001.001.09.xsd");
    connector.status_schema = schema_load(env_or("ISO20022_SCHEMAS", NULL), "pain.002.001.10.xsd");
    config.feed = NULL;
    config.serves = "finance";
    config.credit = CREDIT;
    connector.arena = arena_new(LIMIT_ARENA_BYTES);
    connector.bus = bus_connect(&config);
    connector.intray = intray_new(&connector.trays, connector.status_schema, ask_payment, connector.bus);
    log_info("the connector serves", "out", connector.trays.out, "in", connector.trays.in, NULL);
    serve(&connector);
    log_info("the connector stops", NULL);
    intray_destroy(&connector.intray);
    bus_drain(connector.bus);
    bus_destroy(&connector.bus);
    connector_figures_destroy(&connector.figures);
    vitals_destroy(&connector.vitals);
    arena_destroy(&connector.arena);
    schema_destroy(&connector.order_schema);
    schema_destroy(&connector.status_schema);
    free((char *)connector.trays.making);
    if (env_or("FINANCE_REJECTED", NULL) == NULL)
        free((char *)connector.trays.rejected);
    return 0;
}

static const char usage[] =
    "tildel-connector: pays through ISO 20022 files. Serves the name \"finance\" until SIGTERM.\n"
    "\n"
    "  --health [live|ready]  ask the connector at METRICS_BIND; without a word: ready\n"
    "\n"
    "Exit codes: 0 well, 1 a fault told in one sentence, 2 wrong usage, 3 unhealthy.\n\n";

static int help(void)
{
    fputs(usage, stdout);
    settings_help(stdout, "connector");
    return 0;
}

int main(int argc, char **argv)
{
    log_start("connector");
    if (argc == 2 && strcmp(argv[1], "--help") == 0)
        return help();
    if (argc > 1 && strcmp(argv[1], "--health") == 0)
        return health_main(argc - 2, argv + 2);
    if (argc > 1) {
        fputs("tildel-connector: wrong usage; see --help\n", stderr);
        return 2;
    }
    xmlInitParser();
    int code = run();
    xmlCleanupParser();
    return code;
}
