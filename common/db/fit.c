// db fit: does the schema fit the program? Two versions of a program run side by side while it is upgraded, so a
// schema may be a little ahead of the program, and a program a little ahead of the schema.
#include "db/connection.h"

#include <assert.h>

static const char exists[] = "SELECT to_regclass('schema_step') IS NOT NULL";

// Databases made before steps said which programs they leave running have no such column: then it is the step before.
static const char steps[] = "SELECT list, number, coalesce((to_jsonb(s) ->> 'oldest')::int, number - 1)"
                            "  FROM schema_step s ORDER BY list, number";

// How one list stands.
struct standing {
    int known;   // the last step the program knows
    int at;      // the last step the schema has taken; 0: none
    int oldest;  // of the steps that the program does not know: what a program must know to run with them
};

static int highest(const struct migration *list)
{
    int number = 0;

    for (; list != NULL && list->text != NULL; list++) {
        assert(list->number == number + 1);
        number = list->number;
    }
    return number;
}

static struct standing standing_of(const struct rows *rows, int list, const struct migration *known)
{
    struct standing standing = {.known = highest(known)};

    for (int row = 0; row < rows->count; row++) {
        int number = (int)row_int(rows, row, 1), oldest = (int)row_int(rows, row, 2);
        if (row_int(rows, row, 0) != list)
            continue;
        if (number > standing.at)
            standing.at = number;
        if (number > standing.known && oldest > standing.oldest)
            standing.oldest = oldest;
    }
    return standing;
}

// A list that a newer program brought stands behind ours.
static int count_lists(const struct rows *rows, const struct migration *const *lists)
{
    int count = 0;

    while (lists[count] != NULL)
        count++;
    int last = rows->count > 0 ? (int)row_int(rows, rows->count - 1, 0) : -1;
    return last >= count ? last + 1 : count;
}

static const char *list_name(struct message *message, int count, int list)
{
    return count > 1 ? arena_printf(message->arena, " of list %d", list) : "";
}

static status_t judge(struct message *message, const struct rows *rows, const struct migration *const *lists,
                      bool migrating)
{
    const char *schema = message->db->schema;
    int count = count_lists(rows, lists), ours = 0;

    while (lists[ours] != NULL)
        ours++;
    for (int list = 0; list < count; list++) {
        struct standing is = standing_of(rows, list, list < ours ? lists[list] : NULL);
        if (is.oldest > is.known)
            return fail(
                message, REFUSED,
                "schema %s is at step %d%s, which needs a program that knows step %d, and this one knows "
                "%d: start the newer program, or restore the backup from before the upgrade",
                schema, is.at, list_name(message, count, list), is.oldest, is.known);
    }
    for (int list = 0; list < ours && !migrating; list++) {
        struct standing is = standing_of(rows, list, lists[list]);
        if (is.at < is.known)
            return fail(
                message, RETRY,
                "schema %s is at step %d%s and this program needs step %d: run --migrate (tildel-migrate)",
                schema, is.at, list_name(message, count, list), is.known);
    }
    return OK;
}

status_t db_fit(struct message *message, const struct migration *const *lists, bool migrating)
{
    struct rows found, rows = {0};

    status_t status = db_execute(message, "look for the steps of the schema", exists, NULL, 0, &found);
    if (status == OK && row_int(&found, 0, 0))
        status = db_execute(message, "read the steps of the schema", steps, NULL, 0, &rows);
    return status == OK ? judge(message, &rows, lists, migrating) : status;
}
