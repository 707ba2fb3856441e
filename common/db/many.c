// db many: statements that are said for one row at a time and go out for many.
//
// A statement costs the server more than its row does: its message, its plan set up, the conditions of its table read from
// the catalogue. A batch of commands says the same few statements again and again, so those that allow it (db.h) are gathered
// in groups, a group for each statement, and sent when anybody waits or says something else.
//
// Order is kept for each key: a row may join an earlier group of its statement only if no later one has its key. A group
// has each key once: an UPDATE that is given two rows for one takes any of them.
#include "db/connection.h"
#include "limits/limits.h"

#include <assert.h>
#include <string.h>

#define MANY_BYTES (LIMIT_ARENA_BYTES / 4)  // what is gathered before it is waited for

// The values of one row, copied.
struct gathered {
    const struct arg *values;
    struct gathered *next;
};

static bool has_key(const struct gathering *group, const struct arg *key)
{
    for (const struct gathered *row = group->rows; row != NULL; row = row->next)
        if (row->values[0].size == key->size && memcmp(row->values[0].bytes, key->bytes, key->size) == 0)
            return true;
    return false;
}

// The first group that this row may join; NULL: none.
static struct gathering *find_group(db_t *db, const struct sql *sql, const struct arg *key, bool changes)
{
    struct gathering *found = NULL;

    for (int i = db->n_groups - 1; i >= 0 && !has_key(&db->groups[i], key); i--) {
        // Every file has its own copy of a statement; the name is what they share.
        if (strcmp(db->groups[i].sql->name, sql->name) == 0 && db->groups[i].changes == changes)
            found = &db->groups[i];
    }
    return found;
}

static void add_row(db_t *db, struct gathering *group, const struct arg *values)
{
    struct gathered *row = arena_alloc(db->gathered, sizeof *row);

    row->values = values;
    *(group->last != NULL ? group->last : &group->rows) = row;
    group->last = &row->next;
    group->count++;
}

static void add_asker(struct message *message, struct gathering *group, const struct arg *key, struct rows *rows)
{
    struct asker *asker = arena_alloc(message->db->gathered, sizeof *asker);

    *asker = (struct asker){.key = key, .arena = message->arena, .rows = rows};
    *(group->last_asker != NULL ? group->last_asker : &group->askers) = asker;
    group->last_asker = &asker->next;
}

// The values of one column as an array.
static struct arg column_of(struct message *message, const struct gathered *rows, int count, int column)
{
    const char **texts = arena_alloc(message->arena, sizeof *texts * (size_t)count);
    struct arg *bytes = arena_alloc(message->arena, sizeof *bytes * (size_t)count);
    bool binary = false;

    for (int i = 0; i < count; i++, rows = rows->next) {
        bytes[i] = rows->values[column];
        texts[i] = rows->values[column].bytes;
        binary |= rows->values[column].binary;
    }
    return binary ? db_bytes_array(message, bytes, count) : db_text_array(message, texts, count);
}

static const struct arg *columns_of(struct message *message, const struct gathered *rows, int count,
                                    int n_args)
{
    struct arg *columns = arena_alloc(message->arena, sizeof *columns * (size_t)n_args);

    for (int i = 0; i < n_args; i++)
        columns[i] = column_of(message, rows, count, i);
    return columns;
}

const struct arg *many_of_one(struct message *message, const struct arg args[], int n_args)
{
    const struct gathered row = {.values = values_copy(message->arena, args, n_args)};

    return columns_of(message, &row, 1, n_args);
}

static status_t send_group(struct message *message, const struct gathering *group)
{
    struct message own = message_new(message->db->gathered);

    own.db = message->db;
    status_t status = db_send(&own, group->sql,
                              columns_of(&own, group->rows, group->count, group->sql->params),
                              group->sql->params,
                              &(struct sent){.name = group->sql->name,
                                             .askers = group->askers,
                                             .changes = group->changes ? group->count : 0});
    return status == OK ? OK : fail(message, status, "%s", own.reason);
}

status_t many_send(struct message *message)
{
    db_t *db = message->db;
    status_t status = OK;

    for (int i = 0; status == OK && i < db->n_groups; i++)
        status = send_group(message, &db->groups[i]);
    db->n_groups = 0;
    return status;
}

status_t many_gather(struct message *message, const struct sql *sql, const struct arg args[], int n_args,
                     bool changes, struct rows *ret)
{
    db_t *db = message->db;
    status_t status = OK;

    assert(n_args > 0 && args[0].bytes != NULL && !args[0].binary && "the key is a text");
    if (arena_used(db->gathered) > MANY_BYTES)
        status = db_wait(message);  // what was sent is forgotten then
    struct gathering *group = find_group(db, sql, &args[0], changes);
    if (status == OK && group == NULL && db->n_groups == MANY_GROUPS)
        status = many_send(message);
    if (status != OK)
        return status;
    if (group == NULL) {
        group = &db->groups[db->n_groups++];
        *group = (struct gathering){.sql = sql, .changes = changes};
    }
    const struct arg *values = values_copy(db->gathered, args, n_args);
    add_row(db, group, values);
    if (ret != NULL)
        add_asker(message, group, &values[0], ret);
    return OK;
}
