/*
 * fuzz_inflate.c: any bytes as a compressed message, and as one to be compressed. The first three
 * bytes are the coding (its lowest bit), the limit (its square) and the allocation that fails (0:
 * none); the rest is the message.
 *
 * What is inflated must be what zlib makes of it at one go, within the limit, or refused as zlib
 * refuses it; what is compressed must be smaller and come back as it was.
 */
#include "tests/fuzz/fuzz.h"

#include "runtime/base/bytes.h"
#include "runtime/protocol/grpc/coding.h"

#include <farcall/alloc.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

static unsigned long countdown;

static void
must(bool right, const char *what)
{
	if (right)
		return;
	fprintf(stderr, "broken rule: %s\n", what);
	abort();
}

static void *
fuzz_malloc(size_t size, void *data)
{
	(void)data;
	return countdown != 0 && --countdown == 0 ? NULL : malloc(size);
}

static void *
fuzz_realloc(void *memory, size_t size, void *data)
{
	(void)data;
	return countdown != 0 && --countdown == 0 ? NULL : realloc(memory, size);
}

static void
fuzz_free(void *memory, void *data)
{
	(void)data;
	free(memory);
}

/* At one go, members in a row as RFC 1952 has them: the size, `most` + 1 if it is more; -1:
 * damaged.
 */
static long
oracle(unsigned coding, const uint8_t *bytes, size_t size, size_t most, uint8_t *to)
{
	z_stream z = {.next_in = (Bytef *)(uintptr_t)bytes,
	    .avail_in = (uInt)size,
	    .next_out = to,
	    .avail_out = (uInt)(most + 1)};
	long held = -1;

	must(inflateInit2(&z, coding == FC_CODING_GZIP ? 31 : 15) == Z_OK, "the oracle's memory");
	for (;;) {
		int rc = inflate(&z, Z_SYNC_FLUSH);

		held = (long)(z.next_out - to);
		if ((size_t)held > most)
			break;
		if (rc == Z_STREAM_END && z.avail_in == 0)
			break;
		if (rc == Z_STREAM_END && coding == FC_CODING_GZIP) {
			inflateReset(&z);
		} else if (rc != Z_OK || z.avail_in == 0) {
			held = -1;
			break;
		}
	}
	inflateEnd(&z);
	return held;
}

static void
inflate_it(unsigned coding, const uint8_t *bytes, size_t size, size_t most, bool starved)
{
	uint8_t *expected = (uint8_t *)malloc(most + 1);
	farcall_code code;
	fc_error why;
	fc_buf to;
	long held = oracle(coding, bytes, size, most, expected);

	fc_error_clear(&why);
	fc_buf_init(&to, NULL, 0);
	code = fc_inflate(coding, bytes, size, most, &to, &why);
	must(code == why.code, "a code that is not the error's");
	must(fc_buf_size(&to) <= most + 1 && to.room <= most + 1, "more memory than the limit");
	if (code == FARCALL_OK) {
		must(held >= 0 && fc_buf_size(&to) == (size_t)held, "another size");
		must(memcmp(to.data, expected, (size_t)held) == 0, "other bytes");
	} else if (why.cause == FARCALL_CAUSE_TOO_LARGE) {
		must((size_t)held == most + 1, "too large, though it is not");
	} else if (why.cause == FARCALL_CAUSE_OUT_OF_MEMORY) {
		must(starved, "out of memory");
	} else {
		must(code == FARCALL_INTERNAL && held == -1, "damaged, though it is not");
	}
	fc_buf_fini(&to);
	free(expected);
}

static void
pour(const fc_payload *payload, fc_sink *sink)
{
	const uint8_t *at = (const uint8_t *)payload->message;

	sink->add(sink, at, payload->size / 3);
	sink->add(sink, at + payload->size / 3, payload->size - payload->size / 3);
}

static void
deflate_it(unsigned coding, const uint8_t *bytes, size_t size, bool starved)
{
	const fc_payload payload = {size, NULL, pour, bytes};
	fc_deflated deflated;
	fc_error why;
	fc_buf to, back;

	fc_error_clear(&why);
	fc_buf_init(&to, NULL, 0);
	fc_buf_init(&back, NULL, 0);
	deflated = fc_deflate(coding, &payload, &to);
	must(deflated != FC_DEFLATED_NO_MEMORY || starved, "no memory to compress");
	if (deflated == FC_DEFLATED) {
		must(fc_buf_size(&to) < size, "compressed, and no smaller");
		if (fc_inflate(coding, to.data, fc_buf_size(&to), size, &back, &why) == FARCALL_OK)
			must(fc_buf_size(&back) == size && memcmp(back.data, bytes, size) == 0,
			    "it does not come back");
		else
			must(starved && why.cause == FARCALL_CAUSE_OUT_OF_MEMORY,
			    "it cannot be inflated");
	}
	fc_buf_fini(&to);
	fc_buf_fini(&back);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	static const farcall_allocator allocator = {fuzz_malloc, fuzz_realloc, fuzz_free, NULL};
	unsigned coding;

	if (size < 3)
		return 0;
	coding = (data[0] & 1) != 0 ? FC_CODING_DEFLATE : FC_CODING_GZIP;
	farcall_set_allocator(&allocator);
	countdown = data[2];
	inflate_it(coding, data + 3, size - 3, 1 + (size_t)data[1] * data[1], data[2] != 0);
	countdown = data[2];
	deflate_it(coding, data + 3, size - 3, data[2] != 0);
	countdown = 0;
	farcall_set_allocator(NULL);
	return 0;
}
