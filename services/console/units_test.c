// Tests of reading organisations from files: both kinds, and on which line a fault is said to stand.
#include "units.h"

#include "limits/limits.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

struct fixture {
    arena_t *arena;
    char path[32];
    Intake__V1__Organisation *all[8];
    size_t count;
    const char *why;
};

static int set_up(void **state)
{
    struct fixture *fixture = calloc(1, sizeof *fixture);

    fixture->arena = arena_new(LIMIT_ARENA_BYTES);
    *state = fixture;
    return 0;
}

static int tear_down(void **state)
{
    struct fixture *fixture = *state;

    arena_destroy(&fixture->arena);
    free(fixture);
    return 0;
}

// Write the text to a file and read it back unit by unit, until the end or a fault.
static void read_all(struct fixture *fixture, const char *text)
{
    strcpy(fixture->path, "units_test_XXXXXX");
    int file = mkstemp(fixture->path);
    assert_true(file >= 0 && write(file, text, strlen(text)) == (ssize_t)strlen(text));
    close(file);

    fixture->count = 0;
    units_t *units = units_open(fixture->arena, fixture->path, &fixture->why);
    if (units != NULL) {
        while (fixture->count < 8 &&
               units_next(units, fixture->arena, &fixture->all[fixture->count], &fixture->why))
            fixture->count++;
        units_close(&units);
    }
    unlink(fixture->path);
}

static void assert_fault(struct fixture *fixture, const char *text, const char *why)
{
    read_all(fixture, text);
    assert_non_null(fixture->why);
    if (strstr(fixture->why, why) == NULL)
        fail_msg("'%s' does not say '%s'", fixture->why, why);
}

#define HEADER "organisation_number,name,form,municipality_number,language\n"
#define OSLO_JSON                                                                                            \
    "{\"organisasjonsnummer\": \"958935420\", \"navn\": \"OSLO KOMMUNE\",\n"                                 \
    " \"organisasjonsform\": {\"kode\": \"KOMM\", \"beskrivelse\": \"Kommune\"}, \"maalform\": "             \
    "\"Bokmål\",\n"                                                                                         \
    " \"forretningsadresse\": {\"kommune\": \"OSLO\", \"kommunenummer\": \"0301\"}}"

static void a_csv_is_read_row_by_row(void **state)
{
    struct fixture *fixture = *state;

    read_all(fixture, HEADER "958935420,Oslo kommune,KOMM,0301,neutral\r\n\r\n"
                             "972418013,\"Bodø, \"\"kommune\"\"\",KOMM,1804,\n");
    assert_null(fixture->why);
    assert_int_equal(fixture->count, 2);
    assert_string_equal(fixture->all[0]->organisation_number, "958935420");
    assert_string_equal(fixture->all[0]->municipality_number, "0301");
    assert_string_equal(fixture->all[1]->name, "Bodø, \"kommune\"");
    assert_string_equal(fixture->all[1]->language, "neutral");
}

static void columns_may_stand_in_any_order(void **state)
{
    struct fixture *fixture = *state;

    read_all(fixture, "\xEF\xBB\xBF"
                      "form,name,county,organisation_number\nAS,Et selskap,x,958935420");
    assert_null(fixture->why);
    assert_int_equal(fixture->count, 1);
    assert_string_equal(fixture->all[0]->form, "AS");
    assert_string_equal(fixture->all[0]->municipality_number, "");
}

static void the_bulk_file_of_the_register_is_read(void **state)
{
    struct fixture *fixture = *state;

    read_all(fixture,
             "[" OSLO_JSON ",\n{\"organisasjonsnummer\": \"972418013\", \"slettedato\": \"2020-01-01\"}, "
             "{\"organisasjonsnummer\": \"972418013\", \"navn\": \"BODØ BÅT AS\", "
             "\"organisasjonsform\": {\"kode\": \"AS\"}}]\n");
    assert_null(fixture->why);
    assert_int_equal(fixture->count, 2);
    assert_string_equal(fixture->all[0]->name, "OSLO KOMMUNE");
    assert_string_equal(fixture->all[0]->language, "nb");
    assert_string_equal(fixture->all[0]->municipality_number, "0301");
    assert_string_equal(fixture->all[1]->form, "AS");
    assert_string_equal(fixture->all[1]->language, "neutral");
}

static void a_page_of_the_registers_api_is_read(void **state)
{
    struct fixture *fixture = *state;

    read_all(fixture,
             "{\"_links\": {}, \"_embedded\": {\"enheter\": [" OSLO_JSON "]}, \"page\": {\"size\": 1}}");
    assert_null(fixture->why);
    assert_int_equal(fixture->count, 1);
    read_all(fixture, "{\"_embedded\": {\"enheter\": []}}");
    assert_null(fixture->why);
    assert_int_equal(fixture->count, 0);
}

static void faults_name_line_and_field(void **state)
{
    assert_fault(*state, HEADER "958935420,Oslo kommune,KOMM,0301,nb\n958935421,X,KOMM,0301,nb\n",
                 "line 3: organisation_number '958935421' must be 9 digits with a right check digit");
    assert_fault(*state, HEADER "958935420,,KOMM,0301,nb\n", "line 2: name of 958935420 must not be empty");
    assert_fault(*state, HEADER "958935420,Oslo,,0301,nb\n", "line 2: form of 958935420 must not be empty");
    assert_fault(*state, HEADER "958935420,Oslo,KOMM,0300,nb\n",
                 "line 2: municipality_number '0300' of 958935420");
    assert_fault(*state, HEADER "958935420,Oslo,KOMM,0301,en\n", "line 2: language 'en' of 958935420");
    assert_fault(*state, HEADER "958935420,Oslo,KOMM\n", "line 2: has 3 fields, but the header has 5");
    assert_fault(*state, HEADER "958935420,\"Oslo,KOMM,0301,nb\n", "line 2: a quotation mark is not closed");
    assert_fault(*state, HEADER "958935420,\"Oslo\"x,KOMM,0301,nb\n",
                 "line 2: a comma or the end of the line must follow");
    assert_fault(*state, "name,number\nOslo,1\n", "line 1: the first line must be a header");
    assert_fault(*state, "", "line 1: the first line must be a header");
    assert_fault(*state, "[" OSLO_JSON ",\n" OSLO_JSON ",\n{\"navn\": \"x\"}]",
                 "line 7: organisation_number ''");
}

static void broken_json_is_told_with_its_line(void **state)
{
    assert_fault(*state, "[" OSLO_JSON ",\n\n{\"navn\": }]", "line 5 is not JSON");
    assert_fault(*state, "[" OSLO_JSON, "line 3 is not JSON");  // cut off
    assert_fault(*state, "{\"enheter\": []}", "is neither a list of units nor a page");
}

static void a_file_that_is_not_there_is_told(void **state)
{
    struct fixture *fixture = *state;

    assert_null(units_open(fixture->arena, "/nowhere.csv", &fixture->why));
    assert_string_equal(fixture->why, "cannot open /nowhere.csv: No such file or directory");
    assert_null(units_open(fixture->arena, "/", &fixture->why));
    assert_string_equal(fixture->why, "/ is not a plain file");
}

static void a_file_of_whole_pages_has_its_end(void **state)
{
    struct fixture *fixture = *state;
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    char *text = calloc(1, page + 1);
    // given a file that fills its last page to the last byte
    size_t length = (size_t)snprintf(text, page, "%s", HEADER "958935420,Oslo kommune,KOMM,0301,neutral");
    memset(text + length, '\n', page - length);
    // when
    read_all(fixture, text);
    // then
    assert_null(fixture->why);
    assert_int_equal(fixture->count, 1);
    free(text);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
    const struct CMUnitTest tests[] = {
        TEST(a_csv_is_read_row_by_row),
        TEST(columns_may_stand_in_any_order),
        TEST(the_bulk_file_of_the_register_is_read),
        TEST(a_page_of_the_registers_api_is_read),
        TEST(faults_name_line_and_field),
        TEST(broken_json_is_told_with_its_line),
        TEST(a_file_that_is_not_there_is_told),
        TEST(a_file_of_whole_pages_has_its_end),
    };
    return cmocka_run_group_tests_name("units", tests, NULL, NULL);
}
