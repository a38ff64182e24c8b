/*
 * timeout.c: writes grpc-timeout: 1 to 8 digits and a unit of H M S m u n. A deadline must not
 * shrink on its way, so the number is rounded up.
 */
#include "runtime/protocol/grpc/text.h"

#define MOST 99999999u

static const struct {
	uint64_t ns;
	char unit;
} units[] = {
    {UINT64_C(1), 'n'},
    {UINT64_C(1000), 'u'},
    {UINT64_C(1000000), 'm'},
    {UINT64_C(1000000000), 'S'},
    {UINT64_C(60000000000), 'M'},
    {UINT64_C(3600000000000), 'H'},
};

size_t
fc_grpc_timeout_put(char *to, uint64_t ns)
{
	char digits[8];
	uint64_t value;
	size_t u = 0, n = 0, size = 0;

	if (ns == 0)
		ns = 1;
	while (ns / units[u].ns + (ns % units[u].ns != 0) > MOST)
		u++; /* 2^64 ns are 5,124,096 hours: the last unit always does */
	for (value = ns / units[u].ns + (ns % units[u].ns != 0); value != 0; value /= 10)
		digits[n++] = (char)('0' + value % 10);
	while (n != 0)
		to[size++] = digits[--n];
	to[size++] = units[u].unit;
	return size;
}
