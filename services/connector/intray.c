// intray: takes the bank's files one by one, tells the payment service what stands in them, and lays them
// away.
//
// A file stays in the tray until the payment service has answered every statement of it; whoever dies before
// that tells it again under the same ids and gets the same answers. What can not be read is laid under
// rejected with a .reason beside it.
#include "connector.h"
#include "clock/clock.h"
#include "limits/limits.h"
#include "log/log.h"
#include "values/values.h"

#include <assert.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <time.h>

#define LOOK_MS    1000   // between two looks into an empty tray
#define SETTLE_MS  1000   // a broken file that was touched this recently may still be written
#define BLOCKED_MS 60000  // after a file could neither be read nor laid away
#define SAME_NAMES 1000   // files of one name that can be laid away

struct intray {
    const struct trays *trays;
    const schema_t *schema;
    intray_ask_f *ask;
    void *bus;
    arena_t *arena;  // of the file in hand
    char *name;      // of the file in hand; NULL: none
    struct statements said;
    int next;  // the statement that is asked about
    const char *asked_id;
    int64_t asked_ms;     // when the question left last; 0: not yet
    const char *refused;  // the first refusal of a statement; NULL: none
    int64_t look_ms;      // not before this
    struct intray_counts counts;  // of what was done
};

struct intray *intray_new(const struct trays *trays, const schema_t *schema, intray_ask_f *teller, void *bus)
{
    struct intray *intray = calloc(1, sizeof *intray);

    assert(intray != NULL);
    *intray = (struct intray){
        .trays = trays, .schema = schema, .ask = teller, .bus = bus, .arena = arena_new(LIMIT_ARENA_BYTES)};
    return intray;
}

void intray_destroy(struct intray **intray_p)
{
    if (*intray_p != NULL)
        arena_destroy(&(*intray_p)->arena);
    free(*intray_p);
    *intray_p = NULL;
}

// A message to read files with: nothing in it but room for a reason.
static struct message scratch(struct intray *intray)
{
    return message_new(intray->arena);
}

// ------------------------------------------------------------------------------------------- choosing a file

static bool is_xml(const char *name)
{
    size_t size = strlen(name);

    return name[0] != '.' && size > 4 && strcasecmp(name + size - 4, ".xml") == 0;
}

// Since a file was written last; negative when it is not there or from the future.
static int64_t age_ms(const struct intray *intray, const char *name)
{
    char path[PATH_MAX];
    struct stat found;
    struct timespec now;

    snprintf(path, sizeof path, "%s/%s", intray->trays->in, name);
    if (lstat(path, &found) != 0)
        return -1;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)(now.tv_sec - found.st_mtim.tv_sec) * 1000 +
           (now.tv_nsec - found.st_mtim.tv_nsec) / 1000000;
}

// A bank that does not rename its files into view gets a moment to finish them. One that is whole needs none:
// no part of an XML document is a document.
static bool is_fresh(const struct intray *intray)
{
    int64_t age = age_ms(intray, intray->name);

    return age >= 0 && age < SETTLE_MS;
}

// The first name of all, so that a bank's numbering is followed; NULL when there is none.
static char *choose(struct intray *intray)
{
    DIR *folder = opendir(intray->trays->in);
    char chosen[NAME_MAX + 1] = "";

    if (folder == NULL) {
        log_alarm("the in-tray can not be read", "folder", intray->trays->in, "reason", strerror(errno),
                  NULL);
        return NULL;
    }
    for (struct dirent *entry = readdir(folder); entry != NULL; entry = readdir(folder))
        if (is_xml(entry->d_name) && (*chosen == '\0' || strcmp(entry->d_name, chosen) < 0))
            memcpy(chosen, entry->d_name, strlen(entry->d_name) + 1);
    closedir(folder);
    return *chosen != '\0' ? arena_text(intray->arena, chosen) : NULL;
}

// ----------------------------------------------------------------------------------------------- laying away

// A name is used again by some banks; the later file gets a number.
static char *lay_away(struct intray *intray, const char *folder)
{
    for (int number = 1; number <= SAME_NAMES; number++) {
        char *name = number == 1 ? intray->name
                                 : arena_printf(intray->arena, "%.200s.%d.xml", intray->name, number);
        switch (file_move(intray->trays->in, intray->name, folder, name)) {
        case MOVED:
        case MOVED_BEFORE:
            return name;
        case MOVED_ON_ANOTHER:
            break;
        case MOVED_NOT:
            return NULL;
        }
    }
    return NULL;
}

static void forget(struct intray *intray, int64_t now_ms, bool laid_away)
{
    if (!laid_away)
        log_alarm("a file can not be moved out of the in-tray", "file", intray->name, NULL);
    intray->name = NULL;
    intray->said.count = 0;
    intray->next = 0;
    intray->asked_ms = 0;
    intray->refused = NULL;
    intray->look_ms = laid_away ? now_ms : now_ms + BLOCKED_MS;
    arena_reset(intray->arena);
}

static void reject(struct intray *intray, int64_t now_ms, const char *reason)
{
    struct message message = scratch(intray);
    const char *line = arena_printf(intray->arena, "%s: %s\n", intray->name, reason);

    intray->counts.rejected++;
    log_alarm("a file of the bank was rejected", "file", intray->name, "reason", reason, NULL);
    char *name = lay_away(intray, intray->trays->rejected);
    if (name != NULL &&
        file_write(&message, intray->trays->rejected, arena_printf(intray->arena, "%.240s.reason", name),
                   line, strlen(line)) != OK)
        log_alarm("the reason of a rejection can not be written", "file", name, "reason", message.reason,
                  NULL);
    forget(intray, now_ms, name != NULL);
}

static void finish(struct intray *intray, int64_t now_ms)
{
    if (intray->refused != NULL) {
        reject(intray, now_ms, intray->refused);
        return;
    }
    log_info("a file of the bank is told", "file", intray->name, "statements", log_number(intray->said.count),
             NULL);
    forget(intray, now_ms, lay_away(intray, intray->trays->done) != NULL);
}

// --------------------------------------------------------------------------------------------------- reading

// What was said about a whole file is about the one order that is in each of ours.
static const char *complete(struct intray *intray)
{
    for (int i = 0; i < intray->said.count; i++) {
        struct statement *statement = &intray->said.all[i];
        struct message message = scratch(intray);
        if (*statement->end_to_end_id != '\0')
            continue;
        const char *found = outtray_end_to_end_id(&message, intray->trays, statement->message_id);
        if (found == NULL)
            return arena_printf(intray->arena, "it speaks of the file %s, which never went out from here",
                                statement->message_id);
        statement->end_to_end_id = arena_text(intray->arena, found);
    }
    return NULL;
}

static void wait_for(struct intray *intray, int64_t now_ms, const char *why)
{
    log_info("a file of the bank is left for a moment", "file", intray->name, "reason", why, NULL);
    forget(intray, now_ms, true);
    intray->look_ms = now_ms + LOOK_MS;
}

static void open_file(struct intray *intray, int64_t now_ms)
{
    struct message message = scratch(intray);
    ProtobufCBinaryData bytes;
    status_t status = file_read(&message, intray->trays->in, intray->name, PAIN_BYTES, &bytes);
    const char *fault = status == OK ? pain002_read(intray->arena, bytes, intray->schema, &intray->said)
                                     : message.reason;

    if (fault == NULL)
        fault = complete(intray);
    if (fault != NULL && is_fresh(intray))
        wait_for(intray, now_ms, fault);
    else if (fault != NULL)
        reject(intray, now_ms, fault);
}

// --------------------------------------------------------------------------------------------------- telling

static const char *state_name(Finance__V1__ReportStatus__State state)
{
    return protobuf_c_enum_descriptor_get_value(&finance__v1__report_status__state__descriptor, (int)state)
        ->name;
}

static bool ask_next(struct intray *intray)
{
    const struct statement *said = &intray->said.all[intray->next];
    ReportStatus status = FINANCE__V1__REPORT_STATUS__INIT;

    status.status_id = arena_printf(intray->arena, "%s/%s/%s", intray->said.message_id, said->end_to_end_id,
                                    state_name(said->state));
    status.end_to_end_id = said->end_to_end_id;
    status.message_id = said->message_id;
    status.state = said->state;
    status.code = said->code;
    status.text = said->text;
    status.amount_ore = said->amount_ore;
    intray->asked_id = uuid_from(intray->arena, status.status_id);
    return intray->ask(intray->bus, intray->asked_id, &status);
}

// Ask, or ask again what nobody has answered; in how many milliseconds to come again.
static int tell(struct intray *intray, int64_t now_ms)
{
    int64_t due_ms = intray->asked_ms == 0 ? now_ms : intray->asked_ms + LIMIT_RESEND_MS;

    if (now_ms < due_ms)
        return (int)(due_ms - now_ms);
    intray->asked_ms = now_ms;
    return ask_next(intray) ? LIMIT_RESEND_MS : LIMIT_RETRY_MS;
}

int intray_turn(struct intray *intray, int64_t now_ms)
{
    if (intray->name == NULL) {
        if (now_ms < intray->look_ms)
            return (int)(intray->look_ms - now_ms);
        intray->look_ms = now_ms + LOOK_MS;
        intray->name = choose(intray);
        if (intray->name == NULL) {
            arena_reset(intray->arena);
            return LOOK_MS;
        }
        open_file(intray, now_ms);
    }
    if (intray->name != NULL && intray->next == intray->said.count)
        finish(intray, now_ms);
    if (intray->name == NULL)
        return intray->look_ms > now_ms ? (int)(intray->look_ms - now_ms) : 0;
    return tell(intray, now_ms);
}

static bool is_final(Bus__V1__Reply__Status status)
{
    return status == BUS__V1__REPLY__STATUS__OK || status == BUS__V1__REPLY__STATUS__REFUSED ||
           status == BUS__V1__REPLY__STATUS__POISON;
}

bool intray_answered(struct intray *intray, const Bus__V1__Reply *reply)
{
    if (intray->name == NULL || intray->asked_id == NULL || strcmp(reply->id, intray->asked_id) != 0)
        return false;
    if (!is_final(reply->status))
        return true;  // it is asked again when its time comes
    intray->counts.told += reply->status == BUS__V1__REPLY__STATUS__OK;
    intray->counts.refused += reply->status == BUS__V1__REPLY__STATUS__REFUSED;
    intray->counts.poison += reply->status == BUS__V1__REPLY__STATUS__POISON;
    if (reply->status != BUS__V1__REPLY__STATUS__OK && intray->refused == NULL)
        intray->refused = arena_printf(intray->arena, "the payment service does not take statement %d: %s",
                                       intray->next + 1, reply->reason);
    intray->next++;
    intray->asked_ms = 0;
    intray->asked_id = NULL;
    return true;
}

struct intray_counts intray_counts(const struct intray *intray)
{
    struct intray_counts counts = intray->counts;
    DIR *folder = opendir(intray->trays->in);

    for (struct dirent *entry = folder ? readdir(folder) : NULL; entry != NULL; entry = readdir(folder)) {
        if (!is_xml(entry->d_name))
            continue;
        int64_t age = age_ms(intray, entry->d_name);
        counts.files++;
        counts.oldest_ms = age > counts.oldest_ms ? age : counts.oldest_ms;
    }
    if (folder != NULL)
        closedir(folder);
    return counts;
}
