/*
 * streams.h: handlers of stream.Test (stream.proto), to be used as they are or in part.
 */
#ifndef FC_TEST_STREAMS_H
#define FC_TEST_STREAMS_H

#include <farcall/farcall.h>

#include <stdatomic.h>

#include "stream.farcall.h"

/* `self` of the service. */
typedef struct test_streams {
	atomic_int cancelled; /* streams whose handlers have seen that */
	atomic_int begun, ended;
	atomic_int sent; /* messages of Count that were taken from the handler */
} test_streams;

farcall_code test_stream_count(
    farcall_call *call, const Stream__Message *request); /* blocking, as the next two */
farcall_code test_stream_sum(farcall_call *call, Stream__Message *reply);
farcall_code test_stream_chat(farcall_call *call);
farcall_code test_stream_murmur(farcall_call *call); /* by callbacks */

extern const struct stream_test test_stream_handlers; /* all of them */

#endif
