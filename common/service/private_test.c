// Personal text, against a real PostgreSQL: what is stored has seals alone, who may read sees the text, and what was
// erased is gone and stays away. With a service of our own that keeps drafts as intake does, and no rules.
#include "check/check.h"

#include "intake_v1.pb-c.h"
#include "service/loop.h"
#include "service_store.sql.h"
#include "service_v1.pb-c.h"
#include "values/values.h"

#include <stdlib.h>
#include <string.h>

#define CASE          "0190aaaa-0000-7000-8000-000000000001"
#define OTHER         "0190aaaa-0000-7000-8000-000000000002"
#define NAME          "Åse Øvrebø"
#define PHONE         "+47 000 00 001"
#define AT_US         INT64_C(1718402400000000)
#define REFUSED_DRAFT 13
#define ROLE_OF(name) BUS__V1__ACTOR__ROLE__##name

// ------------------------------------------------------------------------------------- a service that keeps drafts

static const struct migration trial_migrations[] = {
    {1, "CREATE TABLE draft (id text PRIMARY KEY, content bytea NOT NULL)"},
    {0, NULL},
};
static const struct sql sql_put_draft = {
    .name = "put_draft",
    .params = 2,
    .text = "INSERT INTO draft (id, content) VALUES ($1, $2::bytea)"
            "    ON CONFLICT (id) DO UPDATE SET content = excluded.content"};
static const struct sql sql_find_draft = {
    .name = "find_draft", .params = 1, .text = "SELECT content FROM draft WHERE id = $1"};
static const struct sql sql_counts = {
    .name = "counts",
    .params = 1,
    .text = "SELECT (SELECT count(*) FROM loop_private_key WHERE case_id = $1),"
            "       (SELECT count(*) FROM loop_private WHERE case_id = $1),"
            "       (SELECT count(*) FROM loop_outbox WHERE stream = 'trial/erasure/' || $1)"};
// Everything that the schema holds, but for the bytes of keys and texts: as text, where a string of bytes shows.
static const struct sql sql_stored = {
    .name = "stored",
    .params = 1,
    .text = "SELECT count(*) FROM (SELECT bytes FROM loop_outbox UNION ALL SELECT content FROM draft"
            "                      UNION ALL SELECT body FROM loop_asked UNION ALL SELECT ciphertext FROM "
            "loop_private)"
            "    AS stored (bytes) WHERE position(convert_to($1, 'UTF8') IN bytes) > 0"};
static const struct sql sql_seals = {
    .name = "seals",
    .params = 0,
    .text = "SELECT case_id, encode(seal, 'hex'), ciphertext FROM loop_private ORDER BY case_id, seal"};
static const struct sql sql_swap = {
    .name = "swap",
    .params = 0,
    .text = "UPDATE loop_private AS one SET ciphertext = (SELECT ciphertext FROM loop_private AS other"
            " WHERE other.case_id = one.case_id AND other.seal <> one.seal LIMIT 1)"};
static const struct sql sql_lay_by = {.name = "lay_by",
                                      .params = 0,
                                      .text = "WITH keys AS (SELECT * FROM loop_private_key) INSERT INTO "
                                              "draft SELECT 'key ' || case_id, key FROM keys"};
static const struct sql sql_put_key_back = {
    .name = "put_key_back",
    .params = 0,
    .text = "INSERT INTO loop_private_key SELECT substr(id, 5), content FROM draft WHERE id LIKE 'key %'"};
static const struct sql sql_put_text_back = {
    .name = "put_text_back",
    .params = 3,
    .text = "INSERT INTO loop_private VALUES ($1, decode($2, 'hex'), $3::bytea)"};
static const struct sql *const trial_statements[] = {
    &sql_put_draft, &sql_find_draft, &sql_counts,       &sql_stored,        &sql_seals,
    &sql_swap,      &sql_lay_by,     &sql_put_key_back, &sql_put_text_back, NULL};

static int decided;  // how often a rule has seen a command

static status_t on_save(struct message *message, const void *body)
{
    const Intake__V1__SaveDraft *command = body;
    Intake__V1__DraftSaved event = INTAKE__V1__DRAFT_SAVED__INIT;
    Intake__V1__Application answered = INTAKE__V1__APPLICATION__INIT;

    decided++;
    for (size_t i = 0; i < command->content->n_contacts; i++) {
        assert_string_not_equal("", command->content->contacts[i]->name->text);
        assert_int_equal(32, command->content->contacts[i]->name->seal.len);
    }
    if (command->expected_version == REFUSED_DRAFT)
        return fail(message, REFUSED, "expected_version: not thirteen");
    event.application_id = command->application_id;
    event.content = command->content;
    answered.content = command->content;
    emit(message, &event);
    ask(message, "finance", message->id, command);
    answer(message, &answered);
    return OK;
}

static status_t on_saved(struct message *message, const void *body)
{
    const Intake__V1__DraftSaved *event = body;
    size_t size;
    const uint8_t *content = message_encode(message->arena, event->content, &size);

    return RUN(message, put_draft, NULL, TEXT(event->application_id), BYTES(content, size));
}

static status_t on_get(struct message *message, const void *body)
{
    const Intake__V1__GetApplication *query = body;
    Intake__V1__Application answered = INTAKE__V1__APPLICATION__INIT;
    struct erasure erasure;
    struct rows rows;

    status_t status = RUN(message, find_draft, &rows, TEXT(query->application_id));
    if (status != OK || rows.count == 0)
        return status;
    ProtobufCBinaryData bytes = row_bytes(&rows, 0, 0);
    status = message_decode(message, &intake__v1__content__descriptor, bytes.data, bytes.len,
                            &answered.content);
    if (status == OK)
        status = private_open(message, query->application_id, answered.content);
    if (status == OK)
        status = private_erasure(message, query->application_id, &erasure);
    if (status != OK)
        return status;
    answered.erased_at_us = erasure.at_us;
    answered.erased_ground = (char *)erasure.ground;
    answer(message, &answered);
    return OK;
}

static const struct command_row commands[] = {{&intake__v1__save_draft__descriptor, ROLE(EDITOR), on_save},
                                              {NULL}};
static const struct event_row events[] = {{&intake__v1__draft_saved__descriptor, "draft", on_saved}, {NULL}};
static const struct query_row queries[] = {{&intake__v1__get_application__descriptor, ROLE(EDITOR), on_get},
                                           {NULL}};
static const struct service trial = {.name = "trial",
                                     .rule_set = "1",
                                     .commands = commands,
                                     .events = events,
                                     .queries = queries,
                                     .statements = trial_statements,
                                     .migrations = trial_migrations};

// ------------------------------------------------------------------------------------------------ given and when

struct world {
    db_t *db;
};

static int open_world(void **state)
{
    struct world *world = calloc(1, sizeof *world);

    assert_non_null(world);
    world->db = check_db_open(&trial);
    decided = 0;
    *state = world;
    return 0;
}

static int close_world(void **state)
{
    struct world *world = *state;

    check_db_close(&world->db);
    free(world);
    return 0;
}

static struct message as(struct world *world, Bus__V1__Actor__Role role)
{
    struct message message = check_message(AT_US, "someone.1", role, "");

    message.db = world->db;
    return message;
}

// As the loop does it: what a refusal has written is committed with it.
static status_t gives(struct message *message, const void *command)
{
    size_t size;
    const uint8_t *bytes = message_encode(message->arena, command, &size);

    message->type = ((const ProtobufCMessage *)command)->descriptor->name;
    assert_int_equal(OK, db_begin(message));
    status_t status = service_decide(&trial, message, bytes, size);
    if (status == OK || status == REFUSED)
        assert_int_equal(OK, db_commit(message));
    else
        db_rollback(message);
    return status;
}

static private_t *a_private(arena_t *arena, const char *text)
{
    private_t *part = arena_alloc(arena, sizeof *part);

    types__v1__private__init(part);
    part->text = (char *)text;
    return part;
}

// A draft with one person; the phone may be left out.
static Intake__V1__SaveDraft a_draft(arena_t *arena, const char *case_id, const char *name, const char *phone)
{
    Intake__V1__SaveDraft command = INTAKE__V1__SAVE_DRAFT__INIT;
    Intake__V1__Contact *contact = arena_alloc(arena, sizeof *contact);

    intake__v1__contact__init(contact);
    contact->name = a_private(arena, name);
    contact->phone = phone != NULL ? a_private(arena, phone) : NULL;
    contact->role = (char *)"prosjektleder";
    command.application_id = (char *)case_id;
    command.content = arena_alloc(arena, sizeof *command.content);
    intake__v1__content__init(command.content);
    command.content->n_contacts = 1;
    command.content->contacts = arena_alloc(arena, sizeof *command.content->contacts);
    command.content->contacts[0] = contact;
    return command;
}

static struct message saves(struct world *world, const char *case_id, const char *name, const char *phone)
{
    struct message message = as(world, ROLE_OF(EDITOR));
    Intake__V1__SaveDraft command = a_draft(message.arena, case_id, name, phone);

    if (gives(&message, &command) != OK)
        fail_msg("not saved: %s", message.reason);
    return message;
}

static const Service__V1__Erased *erases(struct world *world, const char *case_id)
{
    struct message message = as(world, ROLE_OF(UNIT_HEAD));
    Service__V1__Erase command = SERVICE__V1__ERASE__INIT;
    const Service__V1__Erased *erased = NULL;

    command.case_id = (char *)case_id;
    command.ground = (char *)"the person asks for it";
    command.law = (char *)"GDPR art. 17 (1) (b)";
    if (gives(&message, &command) != OK)
        fail_msg("not erased: %s", message.reason);
    assert_int_equal(OK, message_decode(&message, &service__v1__erased__descriptor, message.answer,
                                        message.answer_size, &erased));
    return erased;
}

static const Intake__V1__Application *shown(struct world *world, const char *case_id)
{
    struct message message = as(world, ROLE_OF(EDITOR));
    Intake__V1__GetApplication query = INTAKE__V1__GET_APPLICATION__INIT;

    query.application_id = (char *)case_id;
    return check_query(&trial, &message, &intake__v1__application__descriptor, &query);
}

static const Intake__V1__Contact *contact_of(struct world *world, const char *case_id)
{
    return shown(world, case_id)->content->contacts[0];
}

static struct rows rows_of(struct world *world, const struct sql *statement, const char *text)
{
    struct message message = as(world, ROLE_OF(EDITOR));
    struct arg arg = TEXT(text != NULL ? text : "");
    struct rows rows;

    assert_int_equal(OK, db_run(&message, statement, &arg, text != NULL, &rows));
    return rows;
}

static void assert_kept(struct world *world, const char *case_id, int keys, int texts, int erasures)
{
    struct rows rows = rows_of(world, &sql_counts, case_id);

    assert_int_equal(keys, row_int(&rows, 0, 0));
    assert_int_equal(texts, row_int(&rows, 0, 1));
    assert_int_equal(erasures, row_int(&rows, 0, 2));
}

// --------------------------------------------------------------------------------------------------------- sealed

static void what_is_stored_has_the_seal_and_not_the_text(void **state)
{
    struct message message = saves(*state, CASE, NAME, PHONE);
    const Intake__V1__Application *answered = NULL;
    const Intake__V1__DraftSaved *event = check_emitted(&message, 1, 0, &intake__v1__draft_saved__descriptor);

    assert_string_equal("", event->content->contacts[0]->name->text);
    assert_int_equal(32, event->content->contacts[0]->name->seal.len);
    assert_int_equal(OK, message_decode(&message, &intake__v1__application__descriptor, message.answer,
                                        message.answer_size, &answered));
    assert_string_equal("", answered->content->contacts[0]->name->text);  // it is kept with the command
    assert_null(memmem(message.asked->data, message.asked->size, NAME, strlen(NAME)));
    struct rows rows = rows_of(*state, &sql_stored, "prosjektleder");
    assert_int_equal(3, row_int(&rows, 0, 0));  // would be found: in outbox, draft and request
    rows = rows_of(*state, &sql_stored, NAME);
    assert_int_equal(0, row_int(&rows, 0, 0));
    assert_kept(*state, CASE, 1, 2, 0);
}

static void a_query_tells_the_text(void **state)
{
    saves(*state, CASE, NAME, PHONE);
    assert_string_equal(NAME, contact_of(*state, CASE)->name->text);
    assert_string_equal(PHONE, contact_of(*state, CASE)->phone->text);
}

static void equal_texts_of_a_case_have_one_seal_and_those_of_two_cases_never(void **state)
{
    saves(*state, CASE, NAME, NULL);
    saves(*state, CASE, NAME, NULL);
    assert_kept(*state, CASE, 1, 1, 0);
    saves(*state, OTHER, NAME, NULL);
    struct rows rows = rows_of(*state, &sql_seals, NULL);
    assert_int_equal(2, rows.count);
    assert_string_not_equal(row_text(&rows, 0, 1), row_text(&rows, 1, 1));
}

static void a_text_that_stands_twice_in_a_command_is_kept_once(void **state)
{
    saves(*state, CASE, NAME, NAME);
    assert_kept(*state, CASE, 1, 1, 0);
}

static void each_text_opens_in_its_own_place_alone(void **state)
{
    struct world *world = *state;
    struct message message = as(world, ROLE_OF(EDITOR));
    Intake__V1__GetApplication query = INTAKE__V1__GET_APPLICATION__INIT;
    size_t size;

    saves(world, CASE, NAME, PHONE);
    assert_int_equal(OK, RUN0(&message, swap, NULL));
    query.application_id = (char *)CASE;
    const uint8_t *bytes = message_encode(message.arena, &query, &size);
    message.type = query.base.descriptor->name;
    assert_int_equal(POISON, service_read(&trial, &message, bytes, size));
    assert_non_null(strstr(message.reason, "can not be opened"));
}

// ------------------------------------------------------------------------------------------------------- refused

static void a_refused_command_leaves_neither_key_nor_text(void **state)
{
    struct message message = as(*state, ROLE_OF(EDITOR));
    Intake__V1__SaveDraft command = a_draft(message.arena, CASE, NAME, PHONE);

    command.expected_version = REFUSED_DRAFT;
    check_refused(&message, gives(&message, &command), "not thirteen");
    assert_int_equal(1, decided);
    assert_kept(*state, CASE, 0, 0, 0);
}

static void a_seal_without_its_text_is_refused(void **state)
{
    struct message message = as(*state, ROLE_OF(EDITOR));
    Intake__V1__SaveDraft command = a_draft(message.arena, CASE, "", NULL);
    uint8_t made_up[32] = {1};

    command.content->contacts[0]->name->seal = (ProtobufCBinaryData){.data = made_up, .len = sizeof made_up};
    check_refused(&message, gives(&message, &command), "holds the seal of a personal text without the text");
}

static void a_seal_of_the_sender_counts_for_nothing(void **state)
{
    struct message message = as(*state, ROLE_OF(EDITOR));
    Intake__V1__SaveDraft command = a_draft(message.arena, CASE, NAME, NULL);
    uint8_t made_up[3] = {1};

    command.content->contacts[0]->name->seal = (ProtobufCBinaryData){.data = made_up, .len = sizeof made_up};
    assert_int_equal(OK, gives(&message, &command));
    assert_string_equal(NAME, contact_of(*state, CASE)->name->text);
}

static void text_of_no_case_is_refused(void **state)
{
    struct message message = as(*state, ROLE_OF(EDITOR));
    Intake__V1__SaveDraft command = a_draft(message.arena, "", NAME, NULL);

    check_refused(&message, gives(&message, &command),
                  "application_id: must name the case in 1 to 400 bytes");
}

// ------------------------------------------------------------------------------------------------------- erased

static void what_is_erased_is_gone_and_the_seal_stays(void **state)
{
    saves(*state, CASE, NAME, PHONE);
    saves(*state, OTHER, NAME, NULL);
    const Service__V1__Erased *erased = erases(*state, CASE);  // when
    assert_int_equal(2, erased->texts);
    assert_true(erased->key);
    assert_true(erased->erased_at_us == AT_US);
    assert_kept(*state, CASE, 0, 0, 1);
    const Intake__V1__Application *application = shown(*state, CASE);
    assert_string_equal("", application->content->contacts[0]->name->text);
    assert_int_equal(32, application->content->contacts[0]->name->seal.len);
    assert_true(application->erased_at_us == AT_US);
    assert_string_equal("the person asks for it", application->erased_ground);
    assert_string_equal(NAME, contact_of(*state, OTHER)->name->text);
    assert_true(shown(*state, OTHER)->erased_at_us == 0);
}

static void personal_text_after_an_erasure_is_refused_and_anything_else_is_not(void **state)
{
    struct message message = as(*state, ROLE_OF(EDITOR)), without = as(*state, ROLE_OF(EDITOR));
    Intake__V1__SaveDraft command = a_draft(message.arena, CASE, NAME, NULL);

    erases(*state, CASE);
    check_refused(&message, gives(&message, &command), "the personal text of case " CASE " was erased");
    assert_kept(*state, CASE, 0, 0, 1);
    command.content->n_contacts = 0;
    assert_int_equal(OK, gives(&without, &command));
}

static void erasing_again_changes_nothing_until_something_has_come_back(void **state)
{
    struct world *world = *state;
    struct message message = as(world, ROLE_OF(EDITOR));

    saves(world, CASE, NAME, NULL);
    struct rows texts = rows_of(world, &sql_seals, NULL);
    assert_int_equal(OK, RUN0(&message, lay_by, NULL));
    erases(world, CASE);
    const Service__V1__Erased *again = erases(world, CASE);
    assert_int_equal(0, again->texts);
    assert_false(again->key);
    assert_kept(world, CASE, 0, 0, 1);

    // As a backup from before would bring them back.
    assert_int_equal(OK, RUN0(&message, put_key_back, NULL));
    ProtobufCBinaryData ciphertext = row_bytes(&texts, 0, 2);
    assert_int_equal(OK, RUN(&message, put_text_back, NULL, TEXT(CASE), TEXT(row_text(&texts, 0, 1)),
                             BYTES(ciphertext.data, ciphertext.len)));
    assert_string_equal(NAME, contact_of(world, CASE)->name->text);
    again = erases(world, CASE);
    assert_int_equal(1, again->texts);
    assert_true(again->key);
    assert_kept(world, CASE, 0, 0, 2);
}

static void only_a_unit_head_erases_and_says_why(void **state)
{
    struct message officer = as(*state, ROLE_OF(CASE_OFFICER)), silent = as(*state, ROLE_OF(UNIT_HEAD)),
                   aimless = as(*state, ROLE_OF(UNIT_HEAD));
    Service__V1__Erase command = SERVICE__V1__ERASE__INIT;

    command.case_id = (char *)CASE;
    command.ground = (char *)"why not";
    check_refused(&officer, gives(&officer, &command), "is for the role UNIT_HEAD");
    command.ground = (char *)"";
    check_refused(&silent, gives(&silent, &command), "ground: must say in 1 to 500 bytes why it is erased");
    command.case_id = (char *)"";
    check_refused(&aimless, gives(&aimless, &command), "case_id: must name the case");
    assert_kept(*state, CASE, 0, 0, 0);
}

static void who_asks_is_told_whether_it_was_erased(void **state)
{
    struct message before = as(*state, ROLE_OF(AUDITOR)), after = as(*state, ROLE_OF(AUDITOR));
    Service__V1__GetErasure query = SERVICE__V1__GET_ERASURE__INIT;

    query.case_id = (char *)CASE;
    saves(*state, CASE, NAME, PHONE);
    const Service__V1__Erasure *erasure = check_query(&trial, &before, &service__v1__erasure__descriptor, &query);
    assert_int_equal(2, erasure->texts);
    assert_true(erasure->erased_at_us == 0);
    erases(*state, CASE);
    erasure = check_query(&trial, &after, &service__v1__erasure__descriptor, &query);
    assert_int_equal(0, erasure->texts);
    assert_true(erasure->erased_at_us == AT_US);
    assert_string_equal("the person asks for it", erasure->ground);
    assert_string_equal("GDPR art. 17 (1) (b)", erasure->law);
    assert_string_equal("someone.1", erasure->erased_by);
}

// One that saves while another erases: whichever comes first, no text is left.
static void who_saves_while_another_erases_leaves_nothing(void **state)
{
    struct world *world = *state;
    struct message first = as(world, ROLE_OF(UNIT_HEAD)), second = as(world, ROLE_OF(EDITOR));
    Service__V1__Erase erase = SERVICE__V1__ERASE__INIT;
    Intake__V1__SaveDraft save = a_draft(second.arena, CASE, NAME, NULL);
    status_t erased, saved;

    erase.case_id = (char *)CASE;
    erase.ground = (char *)"the person asks for it";
    check_race(&trial, world->db, &first, &erase, &second, &save, &erased, &saved);
    assert_int_equal(OK, erased);
    assert_int_equal(REFUSED, saved);
    assert_kept(world, CASE, 0, 0, 1);
}

static void two_that_make_the_first_key_make_one(void **state)
{
    struct world *world = *state;
    struct message first = as(world, ROLE_OF(EDITOR)), second = as(world, ROLE_OF(EDITOR));
    Intake__V1__SaveDraft one = a_draft(first.arena, CASE, NAME, NULL);
    Intake__V1__SaveDraft other = a_draft(second.arena, CASE, "Per Hansen", NULL);
    status_t first_status, second_status;

    check_race(&trial, world->db, &first, &one, &second, &other, &first_status, &second_status);
    assert_int_equal(OK, first_status);
    assert_int_equal(OK, second_status);
    assert_kept(world, CASE, 1, 2, 0);
}

static void replay_makes_the_same_tables_after_an_erasure(void **state)
{
    struct world *world = *state;

    saves(world, CASE, NAME, PHONE);
    erases(world, CASE);
    check_replay(&trial, world->db);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, open_world, close_world)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_stored_has_the_seal_and_not_the_text),
        TEST(a_query_tells_the_text),
        TEST(equal_texts_of_a_case_have_one_seal_and_those_of_two_cases_never),
        TEST(a_text_that_stands_twice_in_a_command_is_kept_once),
        TEST(each_text_opens_in_its_own_place_alone),
        TEST(a_refused_command_leaves_neither_key_nor_text),
        TEST(a_seal_without_its_text_is_refused),
        TEST(a_seal_of_the_sender_counts_for_nothing),
        TEST(text_of_no_case_is_refused),
        TEST(what_is_erased_is_gone_and_the_seal_stays),
        TEST(personal_text_after_an_erasure_is_refused_and_anything_else_is_not),
        TEST(erasing_again_changes_nothing_until_something_has_come_back),
        TEST(only_a_unit_head_erases_and_says_why),
        TEST(who_asks_is_told_whether_it_was_erased),
        TEST(who_saves_while_another_erases_leaves_nothing),
        TEST(two_that_make_the_first_key_make_one),
        TEST(replay_makes_the_same_tables_after_an_erasure),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
