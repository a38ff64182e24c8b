/*
 * fuzz_h2_server.c: any bytes to our HTTP/2 engine as a server. See fuzz_engine.h.
 */
#include "tests/fuzz/fuzz_engine.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	fuzz_engine_run(false, data, size);
	return 0;
}
