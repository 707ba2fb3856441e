// registry: the file that says which keys exist and what each may do. Everything is checked when the file is
// read, so that the questions asked for each message are short.
#include "bus/registry.h"

#include "bus/end.h"
#include "bus/seal.h"
#include "clock/clock.h"
#include "limits/limits.h"
#include "log/log.h"
#include "values/values.h"

#include <assert.h>
#include <czmq.h>
#include <string.h>
#include <sys/stat.h>

// An entry as it was read. Its strings live in the tree of its book.
struct entry {
    struct registered key;
    const char *of;  // NULL, or whose second key it is
    int64_t not_before_us;
    int64_t not_after_us;
};

// One version of the file.
struct book {
    zconfig_t *tree;
    zhashx_t *by_key;  // owns the entries
    zhashx_t *by_name;  // without second keys
};

struct registry {
    char *path;
    bool rehearsal;
    struct stat seen;  // of the version that was read last, also when it was malformed
    int64_t torn_ms;   // since when what is there is no whole version; 0: it is
    int64_t again_ms;  // then it is looked at again
    bool torn_told;
    int64_t date_us;  // when the next key begins or ends to be valid
    struct book book;
    char *why;  // the last sentence of registered_speaks
};

#define WHY_BYTES     512
#define NAME_BYTES    32
#define TORN_AGAIN_MS 50
#define TORN_LONG_MS  2000  // nobody writes for that long: it was left so

// What a fault in the file is told into, while it is read.
struct reading {
    const char *path;
    bool rehearsal;
    bool torn;  // not a fault yet: it is being written
    char fault[WHY_BYTES];
};

__attribute__((format(printf, 3, 4))) static bool faulty(struct reading *reading, const char *section,
                                                         const char *format, ...)
{
    char what[WHY_BYTES / 2];
    va_list arguments;

    va_start(arguments, format);
    vsnprintf(what, sizeof what, format, arguments);
    va_end(arguments);
    snprintf(reading->fault, sizeof reading->fault, "%.200s: key '%.40s': %s", reading->path, section, what);
    return false;
}

// Step through words divided by spaces: the next word and its length, or NULL after the last.
static const char *word_next(const char *text, size_t *length)
{
    text += strspn(text, " ");
    *length = strcspn(text, " ");
    return *length > 0 ? text : NULL;
}

bool words_hold(const char *words, const char *wanted)
{
    size_t length = 0;
    for (const char *word = words; (word = word_next(word, &length)) != NULL; word += length)
        if (strlen(wanted) == length && memcmp(word, wanted, length) == 0)
            return true;
    return false;
}

static bool name_valid(const char *name, size_t length)
{
    return length >= 1 && length <= NAME_BYTES &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789_-") >= length;
}

static bool names_valid(const char *words, bool star)
{
    size_t length = 0;
    for (const char *word = words; (word = word_next(word, &length)) != NULL; word += length)
        if (!name_valid(word, length) && !(star && length == 1 && *word == '*'))
            return false;
    return true;
}

static bool public_key_valid(const char *text)
{
    uint8_t bytes[32];
    return strlen(text) == 40 && zmq_z85_decode(bytes, text) != NULL;
}

// A role that a person may have, by name; UNSPECIFIED when there is none.
static int role_of_person(const char *name)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value_by_name(
        &bus__v1__actor__role__descriptor, name);
    if (!value || value->value == BUS__V1__ACTOR__ROLE__SERVICE ||
        value->value == BUS__V1__ACTOR__ROLE__CLOCK)
        return BUS__V1__ACTOR__ROLE__UNSPECIFIED;
    return value->value;
}

// Take a word of speaks apart: "EDITOR:958935420" is a role and an organisation, "EDITOR" a role for all.
static int role_of_word(const char *word, size_t length, char organisation[16])
{
    char role[WHY_BYTES / 8];
    const char *colon = memchr(word, ':', length);
    size_t role_length = colon ? (size_t)(colon - word) : length;
    size_t organisation_length = colon ? length - role_length - 1 : 0;

    if (role_length >= sizeof role || organisation_length >= 16 || (colon && organisation_length == 0))
        return BUS__V1__ACTOR__ROLE__UNSPECIFIED;
    memcpy(role, word, role_length);
    role[role_length] = '\0';
    memcpy(organisation, word + length - organisation_length, organisation_length);
    organisation[organisation_length] = '\0';
    if (colon && !organisation_number_valid(organisation))
        return BUS__V1__ACTOR__ROLE__UNSPECIFIED;
    return role_of_person(role);
}

static bool word_is(const char *word, size_t length, const char *wanted)
{
    return strlen(wanted) == length && memcmp(word, wanted, length) == 0;
}

static bool speaks_valid(struct reading *reading, const struct registered *key)
{
    size_t length = 0;
    char organisation[16];
    for (const char *word = key->speaks; (word = word_next(word, &length)) != NULL; word += length) {
        if (word_is(word, length, "any") && !reading->rehearsal)
            return faulty(reading, key->name,
                          "speaks any is allowed only in a rehearsal; name its roles instead");
        if (word_is(word, length, "any") || word_is(word, length, "self"))
            continue;
        if (role_of_word(word, length, organisation) == BUS__V1__ACTOR__ROLE__UNSPECIFIED)
            return faulty(reading, key->name,
                          "speaks has the word '%.*s', which is neither self, any, a person's role nor "
                          "ROLE:organisation number",
                          (int)(length < 60 ? length : 60), word);
    }
    return true;
}

static bool instant_valid(struct reading *reading, zconfig_t *section, const char *field, int64_t missing,
                          int64_t *ret_us)
{
    const char *text = zconfig_get(section, field, NULL);

    *ret_us = missing;
    if (!text || instant_parse(text, ret_us))
        return true;
    return faulty(reading, zconfig_name(section),
                  "%s is '%.60s', which is not an instant like "
                  "2026-01-01T00:00:00Z",
                  field, text);
}

#define FIELDS        "public serves asks feed speaks not_before not_after of"
#define FIELDS_SECOND "public of not_before not_after"  // its rights are those of the first

// A misspelt field must not silently take a right away or give one.
static bool fields_known(struct reading *reading, zconfig_t *section, bool second)
{
    const char *known = second ? FIELDS_SECOND : FIELDS;

    for (zconfig_t *field = zconfig_child(section); field; field = zconfig_next(field))
        if (!words_hold(known, zconfig_name(field)))
            return faulty(reading, zconfig_name(section), "the field '%.40s' is not known%s; known are %s",
                          zconfig_name(field), second ? " in a second key" : "", known);
    return true;
}

static bool rights_valid(struct reading *reading, const struct registered *key, const char *feed)
{
    if (!names_valid(key->serves, false))
        return faulty(reading, key->name, "serves is '%.60s', which is not service names of a-z 0-9 _ -",
                      key->serves);
    if (!names_valid(key->asks, true))
        return faulty(reading, key->name, "asks is '%.60s', which is neither * nor service names", key->asks);
    if (!words_hold("yes no", feed))
        return faulty(reading, key->name, "feed is '%.20s', which is neither yes nor no", feed);
    return speaks_valid(reading, key);
}

static bool key_valid(struct reading *reading, zconfig_t *section, const struct entry *entry)
{
    const char *name = zconfig_name(section);

    if (!name_valid(name, strlen(name)))
        return faulty(reading, name, "the name is not 1 to %d of a-z 0-9 _ -", NAME_BYTES);
    if (!public_key_valid(entry->key.public_key))
        return faulty(reading, name, "public is not 40 characters of Z85");
    if (entry->of && entry->not_after_us == INT64_MAX)
        return faulty(reading, name, "a second key of '%.40s' needs not_after: when it ends", entry->of);
    return true;
}

static bool entry_read(struct reading *reading, zconfig_t *section, struct entry *entry)
{
    const char *feed = zconfig_get(section, "feed", "no");

    entry->of = zconfig_get(section, "of", NULL);
    entry->key = (struct registered){
        .name = zconfig_name(section),
        .public_key = zconfig_get(section, "public", ""),
        .serves = zconfig_get(section, "serves", ""),
        .asks = zconfig_get(section, "asks", ""),
        .speaks = zconfig_get(section, "speaks", ""),
        .feed = streq(feed, "yes"),
    };
    return fields_known(reading, section, entry->of != NULL) &&
           instant_valid(reading, section, "not_before", INT64_MIN, &entry->not_before_us) &&
           instant_valid(reading, section, "not_after", INT64_MAX, &entry->not_after_us) &&
           key_valid(reading, section, entry) && rights_valid(reading, &entry->key, feed);
}

static void entry_destroy(void **item_p)
{
    free(*item_p);
    *item_p = NULL;
}

static void book_close(struct book *book)
{
    zhashx_destroy(&book->by_name);
    zhashx_destroy(&book->by_key);
    zconfig_destroy(&book->tree);
}

static zhashx_t *index_new(zhashx_destructor_fn *destructor)
{
    zhashx_t *index = zhashx_new();
    assert(index);
    zhashx_set_key_duplicator(index, NULL);  // the keys are strings of the tree
    zhashx_set_key_destructor(index, NULL);
    zhashx_set_destructor(index, destructor);
    return index;
}

static bool entry_add(struct reading *reading, struct book *book, zconfig_t *section)
{
    struct entry *entry = zmalloc(sizeof *entry);
    assert(entry);
    if (!entry_read(reading, section, entry)) {
        free(entry);
        return false;
    }
    if (zhashx_insert(book->by_key, entry->key.public_key, entry) != 0) {
        free(entry);
        return faulty(reading, zconfig_name(section), "its public key already stands under another name");
    }
    if (!entry->of && zhashx_insert(book->by_name, entry->key.name, entry) != 0)
        return faulty(reading, zconfig_name(section), "the name stands twice");
    return true;
}

// Second keys get the name and the rights of the first.
static bool seconds_join(struct reading *reading, struct book *book)
{
    for (struct entry *entry = zhashx_first(book->by_key); entry; entry = zhashx_next(book->by_key)) {
        const struct entry *first = entry->of ? zhashx_lookup(book->by_name, entry->of) : entry;
        if (!first)
            return faulty(reading, entry->key.name, "of is '%.40s', which is no first key of this registry",
                          entry->of);
        const char *public_key = entry->key.public_key;
        entry->key = first->key;
        entry->key.public_key = public_key;
    }
    return true;
}

static bool book_fill(struct reading *reading, struct book *book)
{
    bool valid = true;

    for (zconfig_t *section = zconfig_child(book->tree); section && valid; section = zconfig_next(section))
        valid = entry_add(reading, book, section);
    if (valid && zhashx_size(book->by_key) == 0) {
        snprintf(reading->fault, sizeof reading->fault, "%.300s: there is no key in it", reading->path);
        valid = false;
    }
    return valid && seconds_join(reading, book);
}

static bool unreadable(struct reading *reading, const char *why)
{
    snprintf(reading->fault, sizeof reading->fault, "%.300s: %s", reading->path, why);
    return false;
}

// The text of the file, whole and without its seal; NULL, with the fault told, when it is not to be had.
static char *book_text(struct reading *reading)
{
    char *text = seal_read(reading->path);

    if (!text) {
        unreadable(reading, strerror(errno));
        return NULL;
    }
    reading->torn = !seal_whole(text);
    if (!reading->torn)
        return seal_open(text);
    unreadable(reading, "it was written only halfway, or edited by hand: who edits it removes both lines that begin "
                        "with '# sealed'");
    free(text);
    return NULL;
}

// Read the whole file. False, with the fault told and *ret empty, when anything in it is wrong.
static bool book_read(struct reading *reading, struct book *ret)
{
    char *text = book_text(reading);
    if (!text)
        return false;
    struct book book = {.tree = zconfig_str_load(text)};
    free(text);
    if (!book.tree)
        return unreadable(reading, "cannot be read as ZPL: a line is malformed");
    book.by_key = index_new(entry_destroy);
    book.by_name = index_new(NULL);
    bool valid = book_fill(reading, &book);
    if (valid)
        *ret = book;
    else
        book_close(&book);
    return valid;
}

// When does the next key begin or end to be valid?
static int64_t book_date_us(struct book *book)
{
    int64_t now_us = clock_real_us(), date_us = INT64_MAX;

    for (struct entry *entry = zhashx_first(book->by_key); entry; entry = zhashx_next(book->by_key)) {
        if (entry->not_before_us > now_us && entry->not_before_us < date_us)
            date_us = entry->not_before_us;
        if (entry->not_after_us > now_us && entry->not_after_us < date_us)
            date_us = entry->not_after_us;
    }
    return date_us;
}

static const struct registered *entry_valid_now(const struct entry *entry)
{
    if (!entry)
        return NULL;
    int64_t now_us = clock_real_us();
    return entry->not_before_us <= now_us && now_us < entry->not_after_us ? &entry->key : NULL;
}

static bool stat_same(const struct stat *one, const struct stat *other)
{
    return one->st_ino == other->st_ino && one->st_size == other->st_size &&
           one->st_mtim.tv_sec == other->st_mtim.tv_sec && one->st_mtim.tv_nsec == other->st_mtim.tv_nsec;
}

static const char *role_name(int role)
{
    const ProtobufCEnumValue *value = protobuf_c_enum_descriptor_get_value(&bus__v1__actor__role__descriptor,
                                                                           role);
    return value ? value->name : "an unknown role";
}

// Does one word of speaks cover this actor?
static bool word_speaks(const struct registered *key, const char *word, size_t length,
                        const Bus__V1__Actor *actor)
{
    char organisation[16] = "";

    if (word_is(word, length, "self"))
        return actor->role == BUS__V1__ACTOR__ROLE__SERVICE && streq(actor->subject, key->name);
    if (word_is(word, length, "any"))
        return role_of_person(role_name(actor->role)) != BUS__V1__ACTOR__ROLE__UNSPECIFIED;
    return role_of_word(word, length, organisation) == (int)actor->role &&
           actor->role != BUS__V1__ACTOR__ROLE__UNSPECIFIED &&
           (*organisation == '\0' || streq(organisation, actor->organisation));
}

registry_t *registry_load(const char *path, bool rehearsal)
{
    registry_t *registry = zmalloc(sizeof *registry);
    assert(registry);
    registry->path = strdup(path);
    registry->why = zmalloc(WHY_BYTES);
    assert(registry->path && registry->why);
    registry->rehearsal = rehearsal;

    struct reading reading = {.path = path, .rehearsal = rehearsal};
    if (stat(path, &registry->seen) != 0)
        bus_end("%s: the registry of keys cannot be read: %s; deploy/init makes it", path, strerror(errno));
    int64_t until_ms = clock_stopwatch_ms() + TORN_LONG_MS;
    while (!book_read(&reading, &registry->book)) {
        if (!reading.torn || clock_stopwatch_ms() > until_ms)
            bus_end("%s", reading.fault);
        zclock_sleep(TORN_AGAIN_MS);
    }
    registry->date_us = book_date_us(&registry->book);
    return registry;
}

void registry_destroy(registry_t **registry_p)
{
    registry_t *registry = *registry_p;
    if (!registry)
        return;
    book_close(&registry->book);
    free(registry->path);
    free(registry->why);
    free(registry);
    *registry_p = NULL;
}

// Has a key begun or ended to be valid since the last look?
static bool date_passed(registry_t *registry)
{
    if (registry->date_us == INT64_MAX || clock_real_us() < registry->date_us)
        return false;
    registry->date_us = book_date_us(&registry->book);
    log_info("a key of the registry has begun or ended to be valid", NULL);
    return true;
}

// It is being written: look again soon. Told when it stays so.
static void stay_torn(registry_t *registry, const struct reading *reading)
{
    int64_t now_ms = clock_stopwatch_ms();

    if (registry->torn_ms == 0)
        registry->torn_ms = now_ms;
    registry->again_ms = now_ms + TORN_AGAIN_MS;
    if (!registry->torn_told && now_ms - registry->torn_ms > TORN_LONG_MS) {
        log_alarm("the new registry of keys is not whole, the old one stays in force", "reason", reading->fault, NULL);
        registry->torn_told = true;
    }
}

bool registry_refresh(registry_t *registry)
{
    struct stat now;
    struct book book;
    struct reading reading = {.path = registry->path, .rehearsal = registry->rehearsal};

    // A file that is away for a moment is being replaced; its next version will be seen.
    if (stat(registry->path, &now) != 0)
        return date_passed(registry);
    bool again = registry->torn_ms != 0 && clock_stopwatch_ms() >= registry->again_ms;
    if (stat_same(&now, &registry->seen) && !again)
        return date_passed(registry);
    registry->seen = now;
    bool valid = book_read(&reading, &book);
    if (reading.torn) {
        stay_torn(registry, &reading);
        return date_passed(registry);
    }
    registry->torn_ms = 0;
    registry->torn_told = false;
    if (!valid) {
        log_alarm("the new registry of keys is malformed, the old one stays in force", "reason",
                  reading.fault, NULL);
        return date_passed(registry);
    }
    book_close(&registry->book);
    registry->book = book;
    registry->date_us = book_date_us(&registry->book);
    log_info("the registry of keys was read again", "keys", log_number((int64_t)zhashx_size(book.by_key)),
             NULL);
    return true;
}

const struct registered *registry_by_key(const registry_t *registry, const char *public_key)
{
    return entry_valid_now(zhashx_lookup(registry->book.by_key, public_key));
}

const struct registered *registry_by_name(const registry_t *registry, const char *name)
{
    return entry_valid_now(zhashx_lookup(registry->book.by_name, name));
}

bool registry_serves(const registry_t *registry, const char *service)
{
    // A walk that leaves the table's own cursor alone would need a copy; nobody else walks this table.
    for (struct entry *entry = zhashx_first(registry->book.by_key); entry;
         entry = zhashx_next(registry->book.by_key))
        if (entry_valid_now(entry) && registered_serves(&entry->key, service))
            return true;
    return false;
}

bool registered_serves(const struct registered *key, const char *service)
{
    return *service && words_hold(key->serves, service);
}

bool registered_asks(const struct registered *key, const char *service)
{
    return *service && (words_hold(key->asks, "*") || words_hold(key->asks, service));
}

bool registered_speaks(const registry_t *registry, const struct registered *key, const Bus__V1__Actor *actor,
                       const char **ret_why)
{
    size_t length = 0;
    for (const char *word = key->speaks; (word = word_next(word, &length)) != NULL; word += length)
        if (word_speaks(key, word, length, actor))
            return true;
    snprintf(registry->why, WHY_BYTES,
             "actor: key '%s' may not speak for %.64s as %s%s%.9s; it may speak for: %.200s", key->name,
             *actor->subject ? actor->subject : "nobody", role_name(actor->role),
             *actor->organisation ? " of organisation " : "", actor->organisation,
             *key->speaks ? key->speaks : "nobody");
    *ret_why = registry->why;
    return false;
}
