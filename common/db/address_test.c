// Which addresses of a database may be used, and what is said of the others.
#include "db/db.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#define AT(password) "postgresql://tildel_evaluation:" password "@db:5432/tildel"

// What is wrong with each; NULL: nothing.
static const struct {
    const char *url;
    const char *fault;
} addresses[] = {
    {AT("5f0c9a7e1d3b4826"), NULL},
    {"host=db user=tildel_intake password=5f0c9a7e1d3b4826 dbname=tildel", NULL},
    {AT("5f0c9a7e1d3b482"), "fewer than 16 characters"},
    {AT("tildel_evaluation"), "its role's name"},
    {AT("TILDEL_EVALUATION"), "its role's name"},
    {AT("passwordpassword"), "anyone would try first"},
    {AT("change-me-please-1"), "anyone would try first"},
    {AT("Postgres_2024_Admin!"), "anyone would try first"},
    {AT("abababababababab"), "anyone would try first"},
    {AT("changemebutnotonlythat"), NULL},
    {"postgresql://tildel_intake@db:5432/tildel", "has no password"},
    {"postgresql://tildel_intake@%2Fsocket,db/tildel", "has no password"},
    {"host=/socket hostaddr=10.0.0.1 user=tildel_intake", "has no password"},
    {"postgresql://tildel_intake@%2Frun%2Fpostgresql/tildel", NULL},
    {"postgresql:///tildel", NULL},
    {"postgresql://tildel_intake@db/tildel?passfile=/run/secrets/pgpass", NULL},
    {"postgresql://tildel_intake@db/tildel?sslcert=/run/secrets/intake.crt", NULL},
    {"", "is no PostgreSQL address"},
    {"the database in the cellar", "is no PostgreSQL address"},
    {"postgresql://tildel:s3cretpasswordtoolong@[db/tildel", "is no PostgreSQL address"},
};

static void an_address_needs_a_password_that_nobody_guesses(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        const char *fault = db_address_fault(addresses[i].url);
        if ((fault == NULL) != (addresses[i].fault == NULL) ||
            (fault != NULL && strstr(fault, addresses[i].fault) == NULL))
            fail_msg("%s: %s", addresses[i].url, fault != NULL ? fault : "nothing was said");
        if (fault != NULL)
            assert_null(strstr(fault, "s3cret"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(an_address_needs_a_password_that_nobody_guesses)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
