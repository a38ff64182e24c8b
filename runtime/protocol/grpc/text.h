/*
 * text.h: how gRPC writes numbers and messages into header fields, and its tables of codes.
 * Pure functions.
 */
#ifndef FC_PROTOCOL_GRPC_TEXT_H
#define FC_PROTOCOL_GRPC_TEXT_H

#include <farcall/code.h>

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* timeout.c: grpc-timeout. The finest unit of which 8 digits are enough, rounded up; 0 becomes
 * "1n". Answers the size; no NUL. */
#define FC_GRPC_TIMEOUT_SIZE 9
size_t fc_grpc_timeout_put(char *to, uint64_t ns);

/* percent.c: grpc-message. */
size_t fc_grpc_percent_size(const char *text, size_t size); /* encoded */
size_t fc_grpc_percent_encode(char *to, const char *text, size_t size);

/* Never fails: what is no escape stays as it is. At most `size` bytes; `to` may be `text`. */
size_t fc_grpc_percent_decode(char *to, const char *text, size_t size);

/* status.c */
farcall_code fc_grpc_code_of_http(unsigned status); /* doc/http-grpc-status-mapping.md */
farcall_code fc_grpc_code_of_reset(uint32_t h2);    /* client; PROTOCOL-HTTP2, "Errors" */
uint32_t fc_grpc_reset_of_code(farcall_code code);  /* how abort() says it */
uint32_t fc_grpc_goaway_of_code(farcall_code code); /* how close() says it */

#endif
