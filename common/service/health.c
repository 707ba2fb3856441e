// health: is the instance of this name well? Asked by whoever watches the process, from a process of its own.
//
// An instance reports every two seconds into its database, so a fresh report says that its loop turns and
// that its database takes writes; what it tells in the report says whether it hears the broker and the feed.
#include "service/loop.h"

#include "env/env.h"
#include "service_store.sql.h"

#include <stdio.h>

#define STALE_MS 10000

static const char *what_is_wrong(const struct rows *rows)
{
    if (rows->count == 0)
        return "it has not reported since it started";
    if (row_int(rows, 0, 2) > STALE_MS)
        return "it has not reported for more than ten seconds";
    if (!row_int(rows, 0, 0))
        return "it does not hear the broker";
    if (!row_int(rows, 0, 1))
        return "it does not hear the event log's feed";
    return NULL;
}

int health_main(const struct service *service)
{
    static const struct sql *const list[] = {&sql_loop_find_instance, NULL};
    static const struct sql *const *const lists[] = {list, NULL};
    arena_t *arena = arena_new(LIMIT_ARENA_BYTES);
    struct db_config config = {.url = env_url(arena, "DATABASE_URL"),
                               .schema = service->name,
                               .statements = lists,
                               .application_name = "health"};
    struct message message = message_new(arena);
    struct rows rows;

    message.db = db_new(&config);
    status_t status = db_connect(&message);
    if (status == OK)
        status = RUN(&message, loop_find_instance, &rows, TEXT(instance_name()));
    const char *wrong = status == OK ? what_is_wrong(&rows) : message.reason;
    if (wrong)
        fprintf(stderr, "%s instance %s is not well: %s\n", service->name, instance_name(), wrong);
    db_destroy(&message.db);
    arena_destroy(&arena);
    return wrong ? 3 : 0;
}
