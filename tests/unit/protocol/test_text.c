/*
 * gRPC's texts and tables: timeout, percent-encoding, status maps; and the chain of bytes.
 */
#include "tests/support/test.h"

#include "runtime/protocol/grpc/text.h"
#include "runtime/protocol/h2/chain.h"
#include "runtime/protocol/h2/wire.h"

static void
timeouts(void **state)
{
	static const struct {
		uint64_t ns;
		const char *text;
	} rows[] = {
	    {0, "1n"},
	    {1, "1n"},
	    {99999999, "99999999n"},
	    {100000000, "100000u"},
	    {100000001, "100001u"},
	    {UINT64_C(99999999000), "99999999u"},
	    {UINT64_C(99999999001), "100000m"},
	    {UINT64_C(99999999000000), "99999999m"},
	    {UINT64_C(99999999000001), "100000S"},
	    {UINT64_C(99999999000000000), "99999999S"},
	    {UINT64_C(99999999000000001), "1666667M"},
	    {UINT64_C(5999999940000000000), "99999999M"},
	    {UINT64_C(5999999940000000001), "1666667H"},
	    {UINT64_MAX, "5124096H"},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		char text[FC_GRPC_TIMEOUT_SIZE + 1];
		size_t size = fc_grpc_timeout_put(text, rows[i].ns);

		assert_true(size <= FC_GRPC_TIMEOUT_SIZE);
		text[size] = 0;
		assert_string_equal(text, rows[i].text);
	}
}

static void
percent(void **state)
{
	static const struct {
		const char *plain, *encoded;
	} rows[] = {
	    {"", ""},
	    {" ~az", " ~az"},
	    {"%", "%25"},
	    {"\x1f\x7f\n", "%1F%7F%0A"},
	    {"\xc3\xa9", "%C3%A9"},
	    {"100% \xf0\x9f\x98\x80", "100%25 %F0%9F%98%80"},
	};
	static const struct {
		const char *encoded, *plain;
	} lenient[] = {
	    {"%", "%"},
	    {"%4", "%4"},
	    {"%4g", "%4g"},
	    {"%%41", "%A"},
	    {"%c3%a9", "\xc3\xa9"},
	    {"a%41%", "aA%"},
	    {"\xff", "\xff"},
	};
	char to[100];

	(void)state;
	for (size_t i = 0; i < FC_COUNT(rows); i++) {
		size_t size = strlen(rows[i].plain);

		to[fc_grpc_percent_encode(to, rows[i].plain, size)] = 0;
		assert_string_equal(to, rows[i].encoded);
		assert_int_equal(fc_grpc_percent_size(rows[i].plain, size), strlen(to));
		to[fc_grpc_percent_decode(to, to, strlen(to))] = 0;
		assert_string_equal(to, rows[i].plain);
	}
	for (size_t i = 0; i < FC_COUNT(lenient); i++) {
		to[fc_grpc_percent_decode(to, lenient[i].encoded, strlen(lenient[i].encoded))] = 0;
		assert_string_equal(to, lenient[i].plain);
	}
}

static void
status_maps(void **state)
{
	static const struct {
		unsigned http;
		farcall_code code;
	} http[] = {
	    {200, FARCALL_UNKNOWN},
	    {302, FARCALL_UNKNOWN},
	    {400, FARCALL_INTERNAL},
	    {401, FARCALL_UNAUTHENTICATED},
	    {403, FARCALL_PERMISSION_DENIED},
	    {404, FARCALL_UNIMPLEMENTED},
	    {405, FARCALL_UNKNOWN},
	    {429, FARCALL_UNAVAILABLE},
	    {431, FARCALL_INTERNAL},
	    {500, FARCALL_UNKNOWN},
	    {502, FARCALL_UNAVAILABLE},
	    {503, FARCALL_UNAVAILABLE},
	    {504, FARCALL_UNAVAILABLE},
	    {505, FARCALL_UNKNOWN},
	    {0, FARCALL_UNKNOWN},
	};

	(void)state;
	for (size_t i = 0; i < FC_COUNT(http); i++)
		assert_int_equal(fc_grpc_code_of_http(http[i].http), http[i].code);
	for (uint32_t code = 0; code < 20; code++) {
		farcall_code expected = code == FC_H2_REFUSED_STREAM ? FARCALL_UNAVAILABLE
		    : code == FC_H2_CANCEL                           ? FARCALL_CANCELLED
		    : code == FC_H2_ENHANCE_YOUR_CALM                ? FARCALL_RESOURCE_EXHAUSTED
		    : code == FC_H2_INADEQUATE_SECURITY              ? FARCALL_PERMISSION_DENIED
		                                                     : FARCALL_INTERNAL;

		assert_int_equal(fc_grpc_code_of_reset(code), expected);
	}
	assert_int_equal(fc_grpc_code_of_reset(UINT32_MAX), FARCALL_INTERNAL);
	/* What is said by a reset is understood as the same code. */
	assert_int_equal(
	    fc_grpc_code_of_reset(fc_grpc_reset_of_code(FARCALL_INTERNAL)), FARCALL_INTERNAL);
	assert_int_equal(fc_grpc_code_of_reset(fc_grpc_reset_of_code(FARCALL_RESOURCE_EXHAUSTED)),
	    FARCALL_RESOURCE_EXHAUSTED);
	assert_int_equal(fc_grpc_code_of_reset(fc_grpc_reset_of_code(FARCALL_PERMISSION_DENIED)),
	    FARCALL_PERMISSION_DENIED);
	assert_int_equal(fc_grpc_reset_of_code(FARCALL_DEADLINE_EXCEEDED), FC_H2_CANCEL);
	assert_int_equal(fc_grpc_reset_of_code(FARCALL_UNAVAILABLE), FC_H2_CANCEL);
	assert_int_equal(fc_grpc_goaway_of_code(FARCALL_OK), FC_H2_NO_ERROR);
	assert_int_equal(fc_grpc_goaway_of_code(FARCALL_UNAVAILABLE), FC_H2_NO_ERROR);
	assert_int_equal(fc_grpc_goaway_of_code(FARCALL_INTERNAL), FC_H2_INTERNAL_ERROR);
	assert_int_equal(
	    fc_grpc_goaway_of_code(FARCALL_RESOURCE_EXHAUSTED), FC_H2_ENHANCE_YOUR_CALM);
}

/* ---- chain ---- */

static void
check_front(fc_chain *chain, uint32_t from)
{
	fc_piece pieces[16];
	size_t n = fc_chain_pieces(chain, pieces, FC_COUNT(pieces));

	for (size_t i = 0; i < n; i++)
		for (size_t k = 0; k < pieces[i].size; k++)
			assert_int_equal(pieces[i].at[k], (uint8_t)(from++ * 7));
}

static void
chain_agrees_with_a_counter(void **state)
{
	test_random random;
	fc_chain chain, other;
	uint32_t in = 0, out = 0;

	(void)state;
	test_random_seed(&random, 4);
	fc_chain_init(&chain, NULL);
	fc_chain_init(&other, NULL);
	for (int i = 0; i < 3000; i++) {
		uint8_t bytes[3000];
		uint32_t n = test_random_below(&random, sizeof bytes);

		switch (test_random_below(&random, 4)) {
		case 0:
			for (uint32_t k = 0; k < n; k++)
				bytes[k] = (uint8_t)(in++ * 7);
			assert_true(fc_chain_append(&chain, bytes, n));
			break;
		case 1: {
			uint8_t *at = fc_chain_reserve(&chain, n);

			assert_non_null(at);
			for (uint32_t k = 0; k < n; k++)
				at[k] = (uint8_t)(in++ * 7);
			fc_chain_add(&chain, n);
			break;
		}
		case 2: {
			fc_chain_mark mark = fc_chain_tell(&chain);

			memset(bytes, 0xee, sizeof bytes);
			assert_true(fc_chain_append(&chain, bytes, n));
			fc_chain_cut(&chain, mark);
			break;
		}
		default:
			n = FC_MIN(n * 2, in - out);
			assert_true(fc_chain_move(&other, &chain, n));
			check_front(&other, out);
			fc_chain_take(&other, n);
			assert_int_equal(other.size, 0);
			out += n;
		}
		assert_int_equal(chain.size, in - out);
		check_front(&chain, out);
	}
	fc_chain_fini(&chain);
	fc_chain_fini(&other);
}

static void
chain_without_memory(void **state)
{
	uint8_t bytes[10000] = {0};
	fc_chain chain, other;

	(void)state;
	fc_chain_init(&chain, NULL);
	fc_chain_init(&other, NULL);
	assert_true(fc_chain_append(&chain, bytes, 9000));
	test_allocator_fail_at(1, true);
	assert_null(fc_chain_reserve(&chain, 70000));
	assert_false(fc_chain_move(&other, &chain, 9000));
	assert_int_equal(chain.size, 9000);
	assert_int_equal(other.size, 0);
	test_allocator_fail_at(0, false);
	assert_true(fc_chain_move(&other, &chain, 9000));
	assert_null(chain.first);
	fc_chain_fini(&other);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(timeouts),
	    clean_test(percent),
	    clean_test(status_maps),
	    clean_test(chain_agrees_with_a_counter),
	    clean_test(chain_without_memory),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
