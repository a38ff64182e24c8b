/*
 * old_service.h: pair.Test as protoc-c's own service, and a server of it in this process.
 */
#ifndef FC_TEST_OLD_SERVICE_H
#define FC_TEST_OLD_SERVICE_H

#include "tests/support/pair.h"

#include "pair.pb-c.h"

typedef struct old_closure {
	ProtobufCClosure closure;
	void *data;
} old_closure;

typedef struct old_service {
	Pair__Test_Service base; /* first */
	old_closure waiting[64]; /* Wait: newest last */
	atomic_int n_waiting, n_inside, most_inside;
	void (*custom)(
	    struct old_service *service, const Pair__Message *input, old_closure closure);
} old_service;

/*
 * Echo answers at once; Fail by NULL; Wait when the test says; Grow `number` bytes, from its stack;
 * Slow sleeps `number` ms; Custom does what the test says. Metadata, Missing and Chat are NULL.
 */
void old_service_init(old_service *service);

/* The first that waits is answered with `text`; NULL: with NULL. */
void old_service_answer(old_closure closure, const char *text);

typedef struct old_server {
	old_service service;
	farcall_server *server;
	farcall_service *registered;
	farcall_endpoint *endpoint;
	farcall_channel *channel; /* opened by start */
} old_server;

void old_server_init(old_server *old, const char *address);
void old_server_start(old_server *old);
void old_server_fini(old_server *old);

/* One blocking call through farcall's stub, with a time-out; `error`, if not NULL, gets the text.
 */
typedef farcall_code old_stub(
    farcall_call *call, const Pair__Message *request, const Pair__Message **reply);
farcall_code old_call(farcall_channel *channel, old_stub *stub, uint32_t number,
    uint64_t timeout_ms, char *error, size_t room);

#endif
