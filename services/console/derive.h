// derive: what an auditor's package holds beside the log, made from the log's events alone: documents, rules, the
// timeline. The same events give the same bytes; so who makes a package writes what comes out here, and who checks
// one compares.
#pragma once

#include "console.h"

typedef struct derive derive_t;

// A member of the package.
struct derived {
    char *name;
    char *bytes;
    size_t size;
    struct derived *next;
};

// Never NULL.
derive_t *derive_new(struct console *console);
void derive_destroy(derive_t **derive_p);

// Does anything come of the data of events of this type? Of most only what stands around it is told.
bool derive_reads(const char *type);

// The next event that is here; its entry's position. data may be NULL: not read, or unknown to the contract.
void derive_event(derive_t *derive, const Eventlog__V1__Event *event, uint64_t position, const json_t *data);
// A part of the log ends here. last: and with it everything; a second time it means nothing.
void derive_part(derive_t *derive, bool last);

// The next member that came of it, the caller's own; NULL: no more for now. Free with derived_free.
struct derived *derive_take(derive_t *derive);
void derived_free(struct derived *derived);

uint64_t derive_documents(const derive_t *derive);
