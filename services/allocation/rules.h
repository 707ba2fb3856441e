// What the files of rules share: questions that many of them ask, and the making of postings. Not for
// handlers.
#pragma once

#include "allocation.h"

#define STATE(name) (1u << (name))

// Sets of states.
#define UNDECIDED (STATE(GRANT_UNDECIDED) | STATE(GRANT_ON_RESERVE))
#define OFFERED   (STATE(GRANT_OFFERED) | STATE(GRANT_MISSED))
#define LIVE      (STATE(GRANT_AWARDED) | OFFERED | STATE(GRANT_ACCEPTED))

// ------------------------------------------------------------------------- questions (questions.c)

// Each is OK, or refuses with a sentence about id.
status_t text_fits(struct message *message, const char *field, const char *text, size_t most, const char *id);
status_t needs_text(struct message *message, const char *field, const char *text, const char *id);
status_t call_is_known(struct message *message, const struct call *call);
status_t grant_is_known(struct message *message, const struct grant *grant);
// The grant is in one of these states; what says what it should have become.
status_t grant_is_in(struct message *message, const struct grant *grant, unsigned states, const char *what);
// The actor's organisation is the lead.
status_t actor_is_lead(struct message *message, const struct grant *grant);
// The event is small enough to be stored.
status_t event_fits(struct message *message, const ProtobufCMessage *event, const char *what, const char *id);

bool text_is_blank(const char *text);
const char *state_text(enum grant_state state);
const char *money(struct message *message, int64_t ore);
// A text in the grant's written form.
char *written_form(const struct grant *grant, const Text *text);

// ----------------------------------------------------------------------------- postings (ledger.c)

char *account_of(struct message *message, const char *kind, const struct grant *grant);
// The frame that pays for a year; NULL when there is no appropriation for it.
const struct frame *frame_of(struct message *message, const struct call *call, int32_t year);
// Every event of ours moves money between two accounts at most once, so its postings are a list of one.
Posting **post(struct message *message, const char *from, const char *to, int64_t amount_ore);
// The same where a frame is one side: the movement gets its number, and tells what is left.
Posting **post_frame(struct message *message, const struct frame *frame, const char *from, const char *to,
                     int64_t amount_ore);
// What is committed goes back to the frame that it came from.
Posting **post_release(struct message *message, const struct grant *grant);
