// selection: which events of a log an auditor's package is of. One rule for who makes a package and for who checks one.
//
// Of a call are the events whose subject is the call, or an application that an event up to there has named together with the
// call. Of a case are the events whose subject is the case, and what intake has said to everyone of the case's call: the
// stream intake/call/<call>. No stream has events of a call, or of a case, behind one that is not: so what is selected has no
// gaps in its streams.
#pragma once

#include "contract.h"

typedef struct selection selection_t;

// The events at first..last; of this call, or of this case, or of all ("" and ""). Never NULL; the texts must outlive it.
// case_call_id: the case's call, "" when it is not known: then it is learnt from the first event that tells it.
selection_t *selection_new(const char *call_id, const char *case_id, const char *case_call_id, uint64_t first,
                           uint64_t last);
void selection_destroy(selection_t **selection_p);

// Is this event of it? To be asked of every event of the log in its order, from position 1: an application's later events
// need not name its call.
bool selection_holds(selection_t *selection, struct console *console, const Eventlog__V1__Event *event,
                     uint64_t position);

// May it be, as far as can be told? To be asked of every event that is in a package, in order. Of an application that began
// before `first`, only an event that names another call is known not to be.
bool selection_may_hold(selection_t *selection, struct console *console, const Eventlog__V1__Event *event,
                        uint64_t position);
