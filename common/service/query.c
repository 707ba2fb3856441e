// query: one query, answered from tables that were rebuilt, by the very function that answers it live. So what
// was known at an earlier position is told as it would have been told then.
#include "service/loop.h"

#include "clock/clock.h"
#include "env/env.h"
#include "service_store.sql.h"

#include <arpa/inet.h>
#include <stdio.h>
#include <string.h>

static bool read_part(arena_t *arena, uint8_t **ret, size_t *ret_size)
{
    uint32_t length;

    if (fread(&length, sizeof length, 1, stdin) != 1 || ntohl(length) > LIMIT_FRAME_BYTES)
        return false;
    *ret_size = ntohl(length);
    *ret = arena_alloc(arena, *ret_size + 1);
    return fread(*ret, 1, *ret_size, stdin) == *ret_size;
}

static bool write_part(const void *bytes, size_t size)
{
    uint32_t length = htonl((uint32_t)size);

    return fwrite(&length, sizeof length, 1, stdout) == 1 &&
           (size == 0 || fwrite(bytes, 1, size, stdout) == size);
}

static status_t read_at_one_moment(const struct service *service, struct message *message,
                                   const uint8_t *body, size_t size)
{
    status_t status = db_begin(message);

    if (status == OK)
        status = RUN0(message, loop_read_only, NULL);
    if (status == OK)
        status = dispatch_query(service, message, body, size);
    db_rollback(message);
    return status;
}

static Bus__V1__Reply__Status told(status_t status)
{
    switch (status) {
    case OK:
        return BUS__V1__REPLY__STATUS__OK;
    case REFUSED:
        return BUS__V1__REPLY__STATUS__REFUSED;
    case RETRY:
        return BUS__V1__REPLY__STATUS__UNAVAILABLE;
    case POISON:
        break;
    }
    return BUS__V1__REPLY__STATUS__POISON;
}

static bool reply(const struct message *message, const char *id, status_t status)
{
    Bus__V1__Reply reply = BUS__V1__REPLY__INIT;
    size_t size;

    reply.id = (char *)id;
    reply.status = told(status);
    reply.reason = (char *)(status == OK || message->reason == NULL ? "" : message->reason);
    if (status == OK && message->answer_descriptor != NULL)
        reply.type = (char *)message->answer_descriptor->name;
    uint8_t *bytes = message_encode(message->arena, &reply, &size);
    return write_part(bytes, size) && write_part(message->answer, status == OK ? message->answer_size : 0) &&
           fflush(stdout) == 0;
}

static int answer_one(const struct service *service, struct message *message)
{
    const Bus__V1__Request *request;
    uint8_t *bytes, *body;
    size_t size, body_size;

    if (!read_part(message->arena, &bytes, &size) || !read_part(message->arena, &body, &body_size) ||
        message_decode(message, &bus__v1__request__descriptor, bytes, size, &request) != OK ||
        request->actor == NULL) {
        fprintf(stderr, "standard input must hold a bus.v1.Request with its actor, and a body\n");
        return 1;
    }
    message->id = request->id;
    message->type = request->type;
    message->actor = request->actor;
    message->at_us = request->received_at_us;
    message->sender = service->name;
    return reply(message, request->id, read_at_one_moment(service, message, body, body_size)) ? 0 : 1;
}

int query_main(const struct service *service, const char *from)
{
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct service_sql sql = service_sql(service);
    struct db_config config = {.url = env_url(arena, "MIGRATE_URL"),
                               .schema = from,
                               .statements = sql.statements,
                               .application_name = "query"};
    struct message message = message_new(arena);

    message.db = db_new(&config);
    int code = answer_one(service, &message);
    db_destroy(&message.db);
    arena_destroy(&arena);
    return code;
}
