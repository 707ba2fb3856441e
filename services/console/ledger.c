// ledger: the fold, and what may be wrong with it.
#include "ledger.h"

#include "walk.h"

#include <czmq.h>
#include <stdlib.h>
#include <string.h>

// ------------------------------------------------------------------------------------------------------- places

// A place where money is: one account of one call.
struct place {
    int64_t ore;
    uint64_t numbered;  // a frame: movements that have counted
};

// A movement that waits for those before it.
struct movement {
    struct movement *next;
    char *call_id, *from, *to;
    int64_t ore, residual;
    uint64_t number;  // of the frame's; 0: no frame is a side
};

// What somebody else said, which the ledger must say too: so much, so often not said yet.
struct told {
    int64_t ore;
    int count;
};

struct ledger {
    arena_t *arena;
    zhashx_t *places;  // "call|account": struct place
    zhashx_t *calls;   // call: nothing but that it is
    zhashx_t *told;    // "what|key": struct told
    struct movement *waiting, **last;
    uint64_t movements, unposted;
};

static bool wrong(const char **ret_why, const char *sentence)
{
    *ret_why = sentence;
    return false;
}

static void *kept(zhashx_t *table, const char *key, size_t size)
{
    void *item = zhashx_lookup(table, key);

    if (item == NULL) {
        item = calloc(1, size);
        assert(item != NULL);
        zhashx_insert(table, key, item);
    }
    return item;
}

static struct place *place_of(ledger_t *ledger, const char *call_id, const char *account)
{
    char key[512];

    snprintf(key, sizeof key, "%s|%s", call_id, account);
    return kept(ledger->places, key, sizeof(struct place));
}

// The account's first word; FRAME:2025 is a FRAME too.
static bool is(const char *account, const char *word)
{
    size_t length = strlen(word);

    return strncmp(account, word, length) == 0 && (account[length] == '\0' || account[length] == ':');
}

// ---------------------------------------------------------------------------------------------------- movements

static const struct {
    const char *from, *to;
} rules[] = {
    {"APPROPRIATION", "FRAME"}, {"FRAME", "RESERVED"}, {"FRAME", "COMMITTED"}, {"COMMITTED", "FRAME"},
    {"COMMITTED", "PAID"},      {"PAID", "COMMITTED"}, {"FRAME", "PAID"},      {"PAID", "FRAME"},
    {"PAID", "CLAIMED"},        {"CLAIMED", "REPAID"},
};

static bool has_rule(const struct movement *one)
{
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++)
        if (is(one->from, rules[i].from) && is(one->to, rules[i].to))
            return true;
    return false;
}

static const char *sentence(const ledger_t *ledger, const struct movement *one, const char *what)
{
    return arena_printf(ledger->arena, "call %s: %lld øre from %s to %s: %s", one->call_id,
                        (long long)one->ore, one->from, one->to, what);
}

// Must it wait for a movement of the same frame that has not come?
static bool must_wait(ledger_t *ledger, const struct movement *one)
{
    const char *frame = is(one->from, "FRAME") ? one->from : one->to;

    return one->number > place_of(ledger, one->call_id, frame)->numbered + 1;
}

static bool any_waits(const ledger_t *ledger, const char *call_id)
{
    for (const struct movement *one = ledger->waiting; one != NULL; one = one->next)
        if (strcmp(one->call_id, call_id) == 0)
            return true;
    return false;
}

static bool move(ledger_t *ledger, const struct movement *one, const char **ret_why)
{
    struct place *from = place_of(ledger, one->call_id, one->from);
    struct place *to = place_of(ledger, one->call_id, one->to);
    struct place *frame = is(one->from, "FRAME") ? from : is(one->to, "FRAME") ? to : NULL;

    if (!is(one->from, "APPROPRIATION") && from->ore < one->ore)
        return wrong(
            ret_why,
            sentence(ledger, one, arena_printf(ledger->arena, "there are %lld there", (long long)from->ore)));
    if (frame != NULL && one->number != frame->numbered + 1)
        return wrong(ret_why, sentence(ledger, one,
                                       arena_printf(ledger->arena, "it is the frame's movement %llu again",
                                                    (unsigned long long)one->number)));
    from->ore -= one->ore;
    to->ore += one->ore;
    if (frame != NULL && frame->ore != one->residual)
        return wrong(ret_why, sentence(ledger, one,
                                       arena_printf(ledger->arena, "it says that %lld are left and %lld are",
                                                    (long long)one->residual, (long long)frame->ore)));
    if (frame != NULL)
        frame->numbered++;
    ledger->movements++;
    return true;
}

static void forget(struct movement *one)
{
    free(one->call_id);
    free(one->from);
    free(one->to);
    free(one);
}

static bool is_due(ledger_t *ledger, const struct movement *one)
{
    return one->number > 0 ? !must_wait(ledger, one)
                           : place_of(ledger, one->call_id, one->from)->ore >= one->ore;
}

// Those that waited for what has just been moved, again and again until none is due.
static bool move_waiting(ledger_t *ledger, const char **ret_why)
{
    bool moved = true, well = true;

    while (well && moved) {
        moved = false;
        for (struct movement **at = &ledger->waiting; well && *at != NULL;) {
            struct movement *one = *at;
            if (!is_due(ledger, one)) {
                at = &one->next;
                continue;
            }
            well = move(ledger, one, ret_why);
            *at = one->next;
            forget(one);
            moved = true;
        }
    }
    return well;
}

static void wait_for(ledger_t *ledger, const struct movement *one)
{
    struct movement *copy = calloc(1, sizeof *copy), **last = &ledger->waiting;

    assert(copy != NULL);
    *copy = *one;
    copy->call_id = strdup(one->call_id);
    copy->from = strdup(one->from);
    copy->to = strdup(one->to);
    copy->next = NULL;
    while (*last != NULL)
        last = &(*last)->next;
    *last = copy;
}

static bool take(ledger_t *ledger, const struct movement *one, const char **ret_why)
{
    if (one->ore <= 0 || !has_rule(one))
        return wrong(ret_why, sentence(ledger, one, "no rule moves money so"));
    if ((is(one->from, "FRAME") || is(one->to, "FRAME")) != (one->number > 0))
        return wrong(ret_why, sentence(ledger, one, "a frame's movements have numbers, and only those"));
    if (one->number > 0 ? must_wait(ledger, one) : !is_due(ledger, one) && any_waits(ledger, one->call_id)) {
        wait_for(ledger, one);
        return true;
    }
    return move(ledger, one, ret_why) && move_waiting(ledger, ret_why);
}

// ------------------------------------------------------------------------------- what others say, and what we say

// Payment's and reporting's words first, the ledger's after: each must be said again, to the øre, once.
static const struct {
    const char *type, *key, *what;
    bool says;  // false: the ledger's own posting of it
} echoes[] = {
    {"payment.v1.PaymentConfirmed", "payment_key", "paid", true},
    {"payment.v1.PaymentReturned", "payment_key", "returned", true},
    {"payment.v1.ClaimIssued", "claim_id", "claimed", true},
    {"payment.v1.RepaymentReceived", "claim_id", "repaid", true},
    {"allocation.v1.PaymentPosted", "payment_key", NULL, false},
    {"allocation.v1.ClaimPosted", "claim_id", "claimed", false},
    {"allocation.v1.RepaymentPosted", "claim_id", "repaid", false},
};

static struct told *told_of(ledger_t *ledger, const char *what, const char *key, int64_t ore)
{
    char text[512];

    snprintf(text, sizeof text, "%s|%s|%lld", what, key, (long long)ore);
    return kept(ledger->told, text, sizeof(struct told));
}

static bool echo(ledger_t *ledger, const char *type, const json_t *data, const char **ret_why)
{
    for (size_t i = 0; i < sizeof echoes / sizeof echoes[0]; i++) {
        if (strcmp(echoes[i].type, type) != 0)
            continue;
        const json_t *posting = json_array_get(json_object_get(data, "postings"), 0);
        const char *key = data_text(data, echoes[i].key), *what = echoes[i].what;
        if (what == NULL)
            what = is(data_text(posting, "from"), "PAID") ? "returned" : "paid";
        int64_t ore = data_number(echoes[i].says ? data : posting, "amount_ore");
        struct told *told = told_of(ledger, what, key, ore);
        told->count += echoes[i].says ? 1 : -1;
        ledger->unposted += echoes[i].says ? 1 : -1;
        if (told->count < 0)
            return wrong(ret_why, arena_printf(ledger->arena,
                                               "%s: %lld øre stand as %s in the ledger, and nobody said so",
                                               key, (long long)ore, what));
    }
    return true;
}

// Events whose own amount is that of their posting.
static const struct {
    const char *type, *amount;
} amounts[] = {
    {"allocation.v1.FrameOpened", "frame_ore"},
    {"allocation.v1.FrameReserved", "amount_ore"},
    {"allocation.v1.AppropriationRecorded", "amount_ore"},
    {"allocation.v1.AwardDecided", "amount_ore"},
    {"allocation.v1.GrantDeclined", NULL},
    {"allocation.v1.GrantLapsed", NULL},
    {"allocation.v1.GrantRenounced", NULL},
    {"allocation.v1.PaymentPosted", NULL},
    {"allocation.v1.ClaimPosted", NULL},
    {"allocation.v1.RepaymentPosted", NULL},
};

static bool agrees(const ledger_t *ledger, const char *type, const json_t *data, const json_t *posting,
                   const char **ret_why)
{
    const char *application_id = data_text(data, "application_id");

    for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++)
        if (strcmp(amounts[i].type, type) == 0 && amounts[i].amount != NULL &&
            data_number(data, amounts[i].amount) != data_number(posting, "amount_ore"))
            return wrong(ret_why, arena_printf(ledger->arena, "its posting of %lld øre is not its %lld",
                                               (long long)data_number(posting, "amount_ore"),
                                               (long long)data_number(data, amounts[i].amount)));
    for (const char *side = "from"; application_id[0] != '\0' && side != NULL;
         side = side[0] == 'f' ? "to" : NULL) {
        const char *account = data_text(posting, side), *of = strchr(account, ':');
        if (of != NULL && !is(account, "FRAME") && strcmp(of + 1, application_id) != 0)
            return wrong(ret_why,
                         arena_printf(ledger->arena, "its posting is on %s, of another case", account));
    }
    return true;
}

// --------------------------------------------------------------------------------------------------- the fold

static void free_item(void **item_p)
{
    free(*item_p);
    *item_p = NULL;
}

static zhashx_t *table_of_items(void)
{
    zhashx_t *table = zhashx_new();

    zhashx_set_destructor(table, free_item);
    return table;
}

ledger_t *ledger_new(arena_t *arena)
{
    ledger_t *ledger = calloc(1, sizeof *ledger);

    assert(ledger != NULL);
    *ledger = (ledger_t){
        .arena = arena, .places = table_of_items(), .calls = table_of_items(), .told = table_of_items()};
    return ledger;
}

void ledger_destroy(ledger_t **ledger_p)
{
    ledger_t *ledger = *ledger_p;

    while (ledger->waiting != NULL) {
        struct movement *one = ledger->waiting;
        ledger->waiting = one->next;
        forget(one);
    }
    zhashx_destroy(&ledger->places);
    zhashx_destroy(&ledger->calls);
    zhashx_destroy(&ledger->told);
    free(ledger);
    *ledger_p = NULL;
}

bool ledger_concerns(const char *type)
{
    for (size_t i = 0; i < sizeof amounts / sizeof amounts[0]; i++)
        if (strcmp(amounts[i].type, type) == 0)
            return true;
    for (size_t i = 0; i < sizeof echoes / sizeof echoes[0]; i++)
        if (strcmp(echoes[i].type, type) == 0)
            return true;
    return false;
}

bool ledger_event(ledger_t *ledger, const char *type, const json_t *data, const char **ret_why)
{
    const json_t *postings = json_object_get(data, "postings"), *posting;
    const char *call_id = data_text(data, "call_id");
    bool well = echo(ledger, type, data, ret_why);
    size_t index;

    if (json_array_size(postings) > 0)
        kept(ledger->calls, call_id, 1);
    json_array_foreach(postings, index, posting)
    {
        struct movement one = {.call_id = (char *)call_id,
                               .from = (char *)data_text(posting, "from"),
                               .to = (char *)data_text(posting, "to"),
                               .ore = data_number(posting, "amount_ore"),
                               .residual = data_number(posting, "residual_ore"),
                               .number = (uint64_t)data_number(posting, "frame_number")};
        well = well && agrees(ledger, type, data, posting, ret_why) && take(ledger, &one, ret_why);
    }
    return well;
}

// -------------------------------------------------------------------------------------------------------- the end

uint64_t ledger_movements(const ledger_t *ledger)
{
    return ledger->movements;
}

uint64_t ledger_unposted(const ledger_t *ledger)
{
    return ledger->unposted;
}

static void add(struct ledger_call *sum, const char *account, int64_t ore)
{
    sum->appropriated -= is(account, "APPROPRIATION") ? ore : 0;
    sum->residual += is(account, "FRAME") ? ore : 0;
    sum->reserved += is(account, "RESERVED") ? ore : 0;
    sum->committed += is(account, "COMMITTED") ? ore : 0;
    sum->paid += is(account, "PAID") ? ore : 0;
    sum->claimed += is(account, "CLAIMED") ? ore : 0;
    sum->repaid += is(account, "REPAID") ? ore : 0;
}

static void sum_of(ledger_t *ledger, const char *call_id, struct ledger_call *ret)
{
    size_t length = strlen(call_id);

    *ret = (struct ledger_call){.call_id = call_id};
    for (struct place *place = zhashx_first(ledger->places); place != NULL;
         place = zhashx_next(ledger->places)) {
        const char *key = zhashx_cursor(ledger->places);
        if (strncmp(key, call_id, length) == 0 && key[length] == '|')
            add(ret, key + length + 1, place->ore);
    }
}

bool ledger_call(ledger_t *ledger, size_t index, struct ledger_call *ret)
{
    zlistx_t *ids = zhashx_keys(ledger->calls);

    zlistx_set_comparator(ids, (czmq_comparator *)strcmp);
    zlistx_sort(ids);
    const char *id = zlistx_first(ids);
    for (size_t i = 0; id != NULL && i < index; i++)
        id = zlistx_next(ids);
    if (id != NULL)
        sum_of(ledger, arena_text(ledger->arena, id), ret);
    bool found = id != NULL;
    zlistx_destroy(&ids);
    return found;
}

bool ledger_end(ledger_t *ledger, const char **ret_why)
{
    struct ledger_call sum;

    if (ledger->waiting != NULL)
        return wrong(ret_why,
                     sentence(ledger, ledger->waiting, "an earlier movement of its frame is missing"));
    for (size_t i = 0; ledger_call(ledger, i, &sum); i++)
        if (sum.appropriated !=
            sum.residual + sum.reserved + sum.committed + sum.paid + sum.claimed + sum.repaid)
            return wrong(ret_why,
                         arena_printf(ledger->arena, "call %s: its money does not add up to %lld øre",
                                      sum.call_id, (long long)sum.appropriated));
    return true;
}
