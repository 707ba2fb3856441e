// endpoint: what a process shows of itself over HTTP, on an inner address: /metrics, /live and /ready.
//
// The loop lays down a finished text now and then (endpoint_show); a thread of libmicrohttpd's hands out copies of
// the last one. So nobody who asks waits for a transaction, and a loop that stands still is seen: /live says how
// long ago it last came by.
//
// It is for an inner network: no TLS, no login, nothing secret in it. Bounded all the same: GET and HEAD only,
// LIMIT_SCRAPE_BYTES for a request, LIMIT_SCRAPE_CONNECTIONS at once and half as many from one address,
// LIMIT_SCRAPE_MS without a byte, one request a connection.
#pragma once

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>

typedef struct endpoint endpoint_t;

// Read "host:port", host an IPv4 address or * (all addresses), port 1 to 65535. False: it is not that.
bool endpoint_address(const char *bind, struct sockaddr_in *ret);

// Listen at bind (METRICS_BIND), with a thread that takes no signals. Ends the process with a sentence when bind is
// malformed or taken. Until something is shown, /live says well and /ready says that the process is starting.
endpoint_t *endpoint_start(const char *bind);
void endpoint_destroy(endpoint_t **endpoint_p);

// From now on: text is what /metrics begins with (malloc'ed; taken over), reasons why the process is not ready, or
// NULL: it is. Also tells that the loop turns.
void endpoint_show(endpoint_t *endpoint, char *text, size_t size, const char *reasons);
