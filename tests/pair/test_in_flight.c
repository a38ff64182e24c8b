/*
 * A unary call that is under way, while the program's thread looks at it and uses it wrongly: the
 * one shows nothing yet, the other is a line in the log; neither touches what the channel's thread
 * is writing (the thread sanitizer looks on), and the call ends as if nothing had been.
 */
#include "tests/support/pair.h"

typedef struct ending {
	atomic_int times;
	farcall_code code;
} ending;

static void
note(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	ending *it = (ending *)data;

	(void)call, (void)reply;
	it->code = code;
	atomic_fetch_add(&it->times, 1);
}

static void
sees_nothing(const farcall_call *call)
{
	assert_int_equal(farcall_call_code(call), FARCALL_OK);
	assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_NONE);
	assert_string_equal(farcall_call_error(call), "");
	assert_string_equal(farcall_call_status_message(call), "");
	assert_string_equal(farcall_call_peer(call), "");
	assert_false(farcall_metadata_at(farcall_call_metadata(call), 0, NULL, NULL, NULL));
	assert_false(farcall_metadata_at(farcall_call_trailers(call), 0, NULL, NULL, NULL));
}

static void
is_misused(farcall_call *call)
{
	const ProtobufCMessage *message = NULL;
	int before = test_log_count();

	assert_int_equal(farcall_call_half_close(call), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_recv(call, &message), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_finish(call, &message), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(
	    farcall_call_invoke(call, NULL, NULL, &message), FARCALL_FAILED_PRECONDITION);
	assert_int_equal(farcall_call_invoke(call, &pair_test__methods[0], NULL, &message),
	    FARCALL_FAILED_PRECONDITION);
	farcall_call_add_metadata(call, "too", "late");
	farcall_call_add_trailer(call, "never", "here");
	farcall_call_set_timeout_ms(call, 1);
	assert_int_equal(test_log_count(), before + 8);
}

static void
the_program_keeps_off_what_is_under_way(void **state)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	test_pair pair;
	ending it;

	(void)state;
	test_log_catch();
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	for (int round = 0; round < 20; round++) {
		farcall_call *call = farcall_call_new(pair.channel);

		memset(&it, 0, sizeof it);
		atomic_store(&pair.n_waiting, 0);
		request.text = (char *)(uintptr_t) "x";
		pair_test_wait__async(call, &request, note, &it);
		sees_nothing(call);
		is_misused(call);
		test_wait_for(&pair.n_waiting, 1);
		sees_nothing(call);
		farcall_call_complete(
		    pair.waiting[0], round % 2 == 0 ? FARCALL_OK : FARCALL_ABORTED);
		/* Until it has ended it shows nothing, and then all at once. */
		while (farcall_call_code(call) == FARCALL_OK && atomic_load(&it.times) == 0)
			assert_int_equal(farcall_call_cause(call), FARCALL_CAUSE_NONE);
		test_wait_for(&it.times, 1);
		assert_int_equal(it.code, round % 2 == 0 ? FARCALL_OK : FARCALL_ABORTED);
		assert_int_equal(farcall_call_code(call), it.code);
		assert_string_equal(farcall_call_peer(call), test_pair_address(&pair));
		farcall_call_free(call);
	}
	test_pair_fini(&pair);
	test_log_release();
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(the_program_keeps_off_what_is_under_way),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
