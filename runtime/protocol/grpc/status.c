/*
 * status.c: the tables between gRPC's codes, HTTP's status numbers and HTTP/2's error codes.
 */
#include "runtime/protocol/grpc/text.h"

#include "runtime/base/bytes.h"
#include "runtime/protocol/h2/wire.h"

static const struct {
	uint16_t status;
	farcall_code code;
} of_http[] = {
    {400, FARCALL_INTERNAL},
    {401, FARCALL_UNAUTHENTICATED},
    {403, FARCALL_PERMISSION_DENIED},
    {404, FARCALL_UNIMPLEMENTED},
    {429, FARCALL_UNAVAILABLE},
    {431, FARCALL_INTERNAL},
    {502, FARCALL_UNAVAILABLE},
    {503, FARCALL_UNAVAILABLE},
    {504, FARCALL_UNAVAILABLE},
};

static const farcall_code of_reset[] = {
#define CODE(name, code) FARCALL_##code,
    FC_H2_CODES(CODE)
#undef CODE
};

farcall_code
fc_grpc_code_of_http(unsigned status)
{
	for (size_t i = 0; i < FC_COUNT(of_http); i++)
		if (of_http[i].status == status)
			return of_http[i].code;
	return FARCALL_UNKNOWN;
}

farcall_code
fc_grpc_code_of_reset(uint32_t h2)
{
	return h2 < FC_COUNT(of_reset) ? of_reset[h2] : FARCALL_INTERNAL;
}

uint32_t
fc_grpc_reset_of_code(farcall_code code)
{
	switch (code) {
	case FARCALL_INTERNAL:
		return FC_H2_INTERNAL_ERROR;
	case FARCALL_RESOURCE_EXHAUSTED:
		return FC_H2_ENHANCE_YOUR_CALM;
	case FARCALL_PERMISSION_DENIED:
		return FC_H2_INADEQUATE_SECURITY;
	default:
		return FC_H2_CANCEL;
	}
}

uint32_t
fc_grpc_goaway_of_code(farcall_code code)
{
	switch (code) {
	case FARCALL_INTERNAL:
	case FARCALL_UNKNOWN:
		return FC_H2_INTERNAL_ERROR;
	case FARCALL_RESOURCE_EXHAUSTED:
		return FC_H2_ENHANCE_YOUR_CALM;
	case FARCALL_PERMISSION_DENIED:
		return FC_H2_INADEQUATE_SECURITY;
	default:
		return FC_H2_NO_ERROR;
	}
}
