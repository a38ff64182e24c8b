/*
 * rich.h: google.rpc.Status in `grpc-status-details-bin`. The three fields of Status and the two of
 * Any are written and read here, byte by byte: so the library needs no generated code, whose names
 * would meet the program's own copy of it.
 */
#ifndef FC_CALL_RICH_H
#define FC_CALL_RICH_H

#include "runtime/call/call.h"

#include <farcall/rich.h>

#define FC_RICH_KEY "grpc-status-details-bin"

typedef struct fc_rich_detail {
	const char *type_url;
	const uint8_t *value;
	size_t size;
} fc_rich_detail;

struct fc_rich {
	/* server: field 3 of a Status, as often as there are details */
	uint8_t *packed;
	size_t size, room;

	/* client: read of the trailers */
	size_t n;
	fc_rich_detail *details;
};

/* Server: appends the pair to the call's trailers. false: there are no details, or no memory. */
bool fc_rich_put(farcall_call *call, farcall_code code, const char *text);

/* Reads a Status; details lie in `arena`, their values in `bytes`. false: it is none, or no memory.
 */
bool fc_rich_read(const uint8_t *bytes, size_t size, fc_arena *arena, int32_t *code, fc_rich *rich);

#endif
