// selection: which events of a log an auditor's package is of.
#include "selection.h"

#include <assert.h>
#include <czmq.h>
#include <stdlib.h>
#include <string.h>

struct selection {
    const char *call_id, *case_id;
    char *case_call_id;
    uint64_t first, last;
    zhashx_t *applications;  // of the call, as a set
};

selection_t *selection_new(const char *call_id, const char *case_id, const char *case_call_id, uint64_t first,
                           uint64_t last)
{
    selection_t *selection = calloc(1, sizeof *selection);

    assert(selection != NULL && (call_id[0] == '\0' || case_id[0] == '\0'));
    *selection = (selection_t){.call_id = call_id,
                               .case_id = case_id,
                               .case_call_id = strdup(case_call_id),
                               .first = first,
                               .last = last,
                               .applications = zhashx_new()};
    return selection;
}

void selection_destroy(selection_t **selection_p)
{
    selection_t *selection = *selection_p;

    if (selection == NULL)
        return;
    zhashx_destroy(&selection->applications);
    free(selection->case_call_id);
    free(selection);
    *selection_p = NULL;
}

static bool is_of_call(selection_t *selection, const Eventlog__V1__Event *event,
                       const struct contract_subject *of)
{
    if (strcmp(of->call_id, selection->call_id) == 0 && of->application_id[0] != '\0')
        zhashx_insert(selection->applications, of->application_id, selection);
    return strcmp(event->subject, selection->call_id) == 0 ||
           zhashx_lookup(selection->applications, event->subject) != NULL;
}

// Every event that tells the case's call must tell the same.
static bool is_of_case(selection_t *selection, const Eventlog__V1__Event *event,
                       const struct contract_subject *of)
{
    static const char to_all[] = "intake/call/";
    bool own = strcmp(event->subject, selection->case_id) == 0;
    const char *call_id = own ? of->call_id
                          : strncmp(event->stream, to_all, strlen(to_all)) == 0
                              ? event->stream + strlen(to_all)
                              : "";

    if (selection->case_call_id[0] == '\0') {
        free(selection->case_call_id);
        selection->case_call_id = strdup(call_id);
    }
    return call_id[0] != '\0' ? strcmp(call_id, selection->case_call_id) == 0 : own;
}

static bool is_of(selection_t *selection, struct console *console, const Eventlog__V1__Event *event,
                  bool from_its_beginning)
{
    if (selection->call_id[0] == '\0' && selection->case_id[0] == '\0')
        return true;
    struct contract_subject of = contract_subject(console, event);
    if (selection->case_id[0] != '\0')
        return is_of_case(selection, event, &of);
    return is_of_call(selection, event, &of) || (!from_its_beginning && of.call_id[0] == '\0');
}

bool selection_holds(selection_t *selection, struct console *console, const Eventlog__V1__Event *event,
                     uint64_t position)
{
    return is_of(selection, console, event, true) && position >= selection->first &&
           position <= selection->last;
}

bool selection_may_hold(selection_t *selection, struct console *console, const Eventlog__V1__Event *event,
                        uint64_t position)
{
    return is_of(selection, console, event, selection->first == 1) && position >= selection->first &&
           position <= selection->last;
}
