/*
 * wire.h: the numbers of RFC 9113.
 */
#ifndef FC_PROTOCOL_H2_WIRE_H
#define FC_PROTOCOL_H2_WIRE_H

#include "runtime/base/bytes.h"

#define FC_H2_PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define FC_H2_PREFACE_SIZE 24u
#define FC_H2_HEAD 9u                  /* bytes of a frame's head */
#define FC_H2_FRAME_SIZE 16384u        /* the most of a frame's payload, both ways */
#define FC_H2_WINDOW 65535             /* of streams and connection, before any word of it */
#define FC_H2_WINDOW_MOST 0x7fffffffll /* a window never passes this */
#define FC_H2_ID_MOST 0x7fffffffu

/* Frame types */
enum {
	FC_H2_DATA,
	FC_H2_HEADERS,
	FC_H2_PRIORITY,
	FC_H2_RST_STREAM,
	FC_H2_SETTINGS,
	FC_H2_PUSH_PROMISE,
	FC_H2_PING,
	FC_H2_GOAWAY,
	FC_H2_WINDOW_UPDATE,
	FC_H2_CONTINUATION,
	FC_H2_TYPES
};

/* Frame flags */
enum {
	FC_H2_ACK = 0x1,
	FC_H2_END_STREAM = 0x1,
	FC_H2_END_HEADERS = 0x4,
	FC_H2_PADDED = 0x8,
	FC_H2_WITH_PRIORITY = 0x20
};

/* Settings */
enum {
	FC_H2_HEADER_TABLE_SIZE = 1,
	FC_H2_ENABLE_PUSH = 2,
	FC_H2_MAX_CONCURRENT_STREAMS = 3,
	FC_H2_INITIAL_WINDOW_SIZE = 4,
	FC_H2_MAX_FRAME_SIZE = 5,
	FC_H2_MAX_HEADER_LIST_SIZE = 6
};

/* X(name, what a gRPC client makes of a reset with it): PROTOCOL-HTTP2, "Errors". In the order of
 * their numbers, from 0. */
#define FC_H2_CODES(X)                            \
	X(NO_ERROR, INTERNAL)                     \
	X(PROTOCOL_ERROR, INTERNAL)               \
	X(INTERNAL_ERROR, INTERNAL)               \
	X(FLOW_CONTROL_ERROR, INTERNAL)           \
	X(SETTINGS_TIMEOUT, INTERNAL)             \
	X(STREAM_CLOSED, INTERNAL)                \
	X(FRAME_SIZE_ERROR, INTERNAL)             \
	X(REFUSED_STREAM, UNAVAILABLE)            \
	X(CANCEL, CANCELLED)                      \
	X(COMPRESSION_ERROR, INTERNAL)            \
	X(CONNECT_ERROR, INTERNAL)                \
	X(ENHANCE_YOUR_CALM, RESOURCE_EXHAUSTED)  \
	X(INADEQUATE_SECURITY, PERMISSION_DENIED) \
	X(HTTP_1_1_REQUIRED, INTERNAL)

typedef enum fc_h2_code {
#define FC_H2_CODE_X(name, code) FC_H2_##name,
	FC_H2_CODES(FC_H2_CODE_X)
#undef FC_H2_CODE_X
	    FC_H2_N_CODES
} fc_h2_code;

/* A frame's head, 8 of its 9 bytes in one word. */
static inline void
fc_h2_put_head(uint8_t *at, uint32_t length, unsigned type, unsigned flags, uint32_t id)
{
	fc_put32(at, length << 8 | type);
	fc_put32(at + 4, (uint32_t)flags << 24 | id >> 8);
	at[8] = (uint8_t)id;
}

#endif
