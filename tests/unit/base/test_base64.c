/*
 * test_base64.c: RFC 4648's examples, what is none, and random bytes there and back.
 */
#include "runtime/base/base64.h"

#include "tests/support/test.h"

#include "runtime/base/bytes.h"

#include <string.h>

static void
both_ways(void **state)
{
	static const char *const pairs[][2] = {{"", ""}, {"f", "Zg"}, {"fo", "Zm8"},
	    {"foo", "Zm9v"}, {"foob", "Zm9vYg"}, {"fooba", "Zm9vYmE"}, {"foobar", "Zm9vYmFy"},
	    {"\xfb\xff\xfe", "+//+"}};
	static const char *const bad[] = {"A", "AAAAA", "=", "====", "A===", "AA=A",
	    "A-==", "Zg =", "Zg===", "Zm9v=", "\xff\xff"};
	uint8_t bytes[300], back[300];
	char text[401];
	size_t size;
	test_random random;

	(void)state;
	for (size_t i = 0; i < FC_COUNT(pairs); i++) {
		size_t n = strlen(pairs[i][0]);

		fc_base64_encode(text, (const uint8_t *)pairs[i][0], n);
		text[fc_base64_size(n)] = 0;
		assert_string_equal(text, pairs[i][1]);
		while (strlen(text) % 4 != 0)
			strcat(text, "=");
		assert_true(fc_base64_decode(back, &size, text, strlen(text)));
		assert_int_equal(size, n);
		assert_memory_equal(back, pairs[i][0], n);
	}
	for (size_t i = 0; i < FC_COUNT(bad); i++)
		assert_false(fc_base64_decode(back, &size, bad[i], strlen(bad[i])));
	test_random_seed(&random, 3);
	for (size_t n = 0; n < sizeof bytes; n++) {
		for (size_t i = 0; i < n; i++)
			bytes[i] = (uint8_t)test_random_next(&random);
		size = fc_base64_size(n);
		text[size] = '*';
		fc_base64_encode(text, bytes, n);
		assert_int_equal(text[size], '*');
		assert_true(fc_base64_decode(back, &size, text, size));
		assert_int_equal(size, n);
		assert_memory_equal(back, bytes, n);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(both_ways),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
