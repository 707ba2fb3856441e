// db address: is this a database's address that one may use? See db.h.
#include "db/db.h"

#include <ctype.h>
#include <libpq-fe.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define PASSWORD_LEAST  16
#define DIFFERENT_LEAST 6  // characters that differ from each other

// What the passwords of examples, images and tutorials are put together from.
static const char *const worn[] = {
    "password", "passord", "passwd",  "pass",  "changeme", "change", "me",     "secret",  "hemmelig",
    "postgres", "tildel",  "default", "admin", "root",     "test",   "demo",   "example", "qwerty",
    "letmein",  "welcome", "user",    "owner", "my",       "the",    "please", NULL,
};

// What the address says, by keyword; "" when it does not say it.
struct address {
    const char *host, *hostaddr, *user, *password, *passfile, *sslcert;
};

static struct address address_of(const PQconninfoOption *options)
{
    struct address address = {"", "", "", "", "", ""};
    const struct {
        const char *keyword, **value;
    } wanted[] = {{"host", &address.host},         {"hostaddr", &address.hostaddr},
                  {"user", &address.user},         {"password", &address.password},
                  {"passfile", &address.passfile}, {"sslcert", &address.sslcert}};

    for (; options->keyword != NULL; options++)
        for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++)
            if (strcmp(options->keyword, wanted[i].keyword) == 0 && options->val != NULL)
                *wanted[i].value = options->val;
    return address;
}

// Every host of the list is a socket of this machine, where the server may ask the kernel who we are.
static bool only_sockets(const struct address *address)
{
    const char *host = address->host;

    if (*address->hostaddr != '\0')
        return false;
    for (; host != NULL && *host != '\0'; host = strchr(host, ',') != NULL ? strchr(host, ',') + 1 : NULL)
        if (*host != '/' && *host != '@')
            return false;
    return true;
}

static int different(const char *text)
{
    bool seen[256] = {false};
    int count = 0;

    for (; *text != '\0'; text++) {
        count += !seen[(unsigned char)*text];
        seen[(unsigned char)*text] = true;
    }
    return count;
}

// Nothing but worn words, digits and signs between them?
static bool all_worn(const char *text)
{
    bool word = false;

    while (*text != '\0') {
        size_t length = isalpha((unsigned char)*text) ? 0 : 1;
        for (size_t i = 0; length == 0 && worn[i] != NULL; i++)
            if (strncasecmp(text, worn[i], strlen(worn[i])) == 0)
                length = strlen(worn[i]);
        if (length == 0)
            return false;
        word = word || isalpha((unsigned char)*text);
        text += length;
    }
    return word;
}

static const char *password_fault(const struct address *address)
{
    const char *password = address->password;

    if (*password == '\0') {
        bool proven = *address->passfile != '\0' || *address->sslcert != '\0' || only_sockets(address);
        return proven ? NULL : "has no password, which only an address over a unix socket may leave out";
    }
    if (*address->user != '\0' && strcasecmp(password, address->user) == 0)
        return "has its role's name as password";
    if (strlen(password) < PASSWORD_LEAST)
        return "has a password of fewer than 16 characters";
    if (different(password) < DIFFERENT_LEAST || all_worn(password))
        return "has a password that anyone would try first";
    return NULL;
}

const char *db_address_fault(const char *url)
{
    char *unused = NULL;  // libpq's sentence quotes the address, password and all
    PQconninfoOption *options = PQconninfoParse(url, &unused);

    PQfreemem(unused);
    if (options == NULL || *url == '\0') {
        PQconninfoFree(options);
        return "is no PostgreSQL address, such as postgresql://role:password@host:5432/database";
    }
    struct address address = address_of(options);
    const char *fault = password_fault(&address);
    PQconninfoFree(options);
    return fault;
}
