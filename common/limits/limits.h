// limits: every size, count, time and depth that Tildel allows, in one place.
//
// common/ is on the include path, so <limits.h> finds this file first. The compiler's own comes next, and comes round by here
// a second time to reach the C library's: hence a guard below it instead of #pragma once.


#ifndef LIMIT_FRAME_BYTES

// Sizes in bytes.
#define LIMIT_FRAME_BYTES (256 * 1024)        // one ZeroMQ frame; ZMQ_MAXMSGSIZE
#define LIMIT_EVENT_BYTES (192 * 1024)        // one stored event
#define LIMIT_BATCH_BYTES (240 * 1024)        // events in one Append, entries in one Page
#define LIMIT_ARENA_BYTES (16 * 1024 * 1024)  // everything one message may allocate
#define LIMIT_DECODED_BYTES (4 * 1024 * 1024) // what one message may decode to (protobuf-c amplifies 60 times)
#define LIMIT_REASON_BYTES 1024               // the reason of a refusal
#define LIMIT_TEXT_BYTES 20000                // a long text field, UTF-8
#define LIMIT_LINE_BYTES 500                  // a one-line text field, UTF-8

// Counts.
#define LIMIT_BATCH_MESSAGES 64          // commands in one transaction, and a worker's credit
#define LIMIT_BATCH_EVENTS 200           // others' events in one transaction
#define LIMIT_APPEND_EVENTS 500          // events in one Append
#define LIMIT_PAGE_ENTRIES 1000          // entries in one Page
#define LIMIT_QUEUE_REQUESTS 2000        // requests waiting at the broker for one service
// So many may always wait, however slowly they are answered: the next full batch of two instances.
#define LIMIT_QUEUE_ALWAYS (2 * LIMIT_BATCH_MESSAGES)
#define LIMIT_QUEUE_BYTES (96 * 1024 * 1024) // all requests that the broker holds
#define LIMIT_PENDING_PER_KEY 4000       // requests one key may have under way at the broker
#define LIMIT_WORKERS 256                // workers registered at the broker
#define LIMIT_HWM_MESSAGES 1000          // ZMQ_SNDHWM and ZMQ_RCVHWM
// Requests that one worker is given and has not answered. A connection learns what was read from it half a high-water mark at
// a time (libzmq, pipe.cpp), so it may pass for full when half of it is; a worker that takes nothing is forgotten.
#define LIMIT_CREDIT 480
#define LIMIT_DEPTH 16                   // nesting of messages; no message type is recursive
#define LIMIT_TRIES 5                    // tries of one message before it is an incident
// A service that is this far behind the log and does not gain on it is not ready. A thousand applications at the
// deadline are some thousand events: a peak stays below. A peak above it is caught up with, and while it is the
// service is ready. What stands still or grows beyond is a fault.
#define LIMIT_LAG_EVENTS 10000
#define LIMIT_SCRAPE_CONNECTIONS 32      // to a process's endpoint of metrics, and half of that from one address
#define LIMIT_SCRAPE_BYTES 4096          // a request's line and headers there

// Times in milliseconds.
#define LIMIT_HEARTBEAT_MS 1000          // between heartbeats
#define LIMIT_PING_MS 5000               // between ZMTP's own pings, which find a connection that is dead under us
#define LIMIT_SILENCE_MS 5000            // after which a peer is gone
#define LIMIT_TIMEOUT_MS 10000           // a request's default patience
#define LIMIT_TIMEOUT_MAX_MS 120000
#define LIMIT_HANDSHAKE_MS 1000
#define LIMIT_RETRY_MS 200               // told to a sender who found a queue full, before jitter
#define LIMIT_QUEUE_MS 200               // whoever would wait longer for an answer of a busy service is told to come back
#define LIMIT_LINGER_MS 1000
#define LIMIT_RESEND_MS 2000             // unacknowledged own requests and outbox rows are sent again after this
#define LIMIT_CONNECT_MS 3000            // connecting to PostgreSQL
#define LIMIT_TURN_MS 15000              // a loop that has not turned for so long is not live
#define LIMIT_SCRAPE_MS 5000             // a silent connection to a process's endpoint of metrics is closed after this
#define LIMIT_HEALTH_MS 3000             // --health waits so long

#endif
