/*
 * A half-close while a message waits for room: that message was given before it, so it arrives
 * before the end, whether its step has a callback or waits, and whoever closes. A cancel that was
 * made before a half-close ends the call, whatever the peer says to the half-close.
 */
#include "tests/support/pair.h"

#include "stream.farcall.h"

enum { LARGE = 1200 * 1000 }; /* more than a window */

typedef struct fixture {
	farcall_loop *loop;
	farcall_server *server;
	farcall_channel *channel;
	farcall_call *call;
	farcall_call *waiting; /* the handler's, until it may read */
	unsigned served;       /* requests that it has got */
	unsigned sent, done;
	farcall_code code;
	unsigned sum;
	bool late;
} fixture;

static uint8_t bytes[LARGE];

/* ---- the server ---- */

static void
on_request(farcall_call *call, farcall_code code, const Stream__Message *request, void *data)
{
	fixture *f = (fixture *)data;
	Stream__Message reply = STREAM__MESSAGE__INIT;

	if (code == FARCALL_OK) {
		assert_int_equal(request->number, ++f->served);
		stream_test_sum__recv_request__async(call, on_request, f);
		return;
	}
	reply.number = f->served;
	if (code == FARCALL_END)
		farcall_call_send_reply(call, &reply.base);
	else
		farcall_call_complete(call, code);
}

static farcall_code
sum(farcall_call *call, Stream__Message *reply)
{
	(void)reply;
	((fixture *)farcall_call_self(call))->waiting = call;
	return FARCALL_PENDING;
}

static void
complete(farcall_call *call, void *data)
{
	(void)data;
	farcall_call_complete(call, FARCALL_CANCELLED);
}

static farcall_code
pend(farcall_call *call, const Stream__Message *request, Stream__Message *reply)
{
	(void)request;
	(void)reply;
	farcall_call_on_cancel(call, complete, NULL);
	return FARCALL_PENDING;
}

static const struct stream_test handlers = {.sum = sum, .cancelled = pend};

static void
read_all(fixture *f)
{
	stream_test_sum__recv_request__async(f->waiting, on_request, f);
	f->waiting = NULL;
}

static void
init(fixture *f)
{
	memset(f, 0, sizeof *f);
	f->loop = farcall_loop_new();
	f->server = farcall_server_new();
	farcall_server_set_loop(f->server, f->loop);
	stream_test__register(f->server, &handlers, f);
	farcall_server_bind(f->server, "mem:half-close");
	assert_int_equal(farcall_server_start(f->server), FARCALL_OK);
	f->channel = farcall_channel_open("mem:half-close");
	farcall_channel_set_loop(f->channel, f->loop);
	f->call = farcall_call_new(f->channel);
	farcall_call_set_timeout_ms(f->call, 60000);
	stream_test_sum__start(f->call);
}

static void
fini(fixture *f)
{
	farcall_call_free(f->call);
	farcall_channel_close(f->channel);
	farcall_server_stop(f->server, 0);
	while (!farcall_server_stopped(f->server))
		farcall_loop_step(f->loop, 1);
	farcall_server_free(f->server);
	farcall_loop_step(f->loop, 0);
	farcall_loop_free(f->loop);
}

/* ---- the client ---- */

static void
on_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *nothing, void *data)
{
	(void)call;
	(void)nothing;
	assert_int_equal(code, FARCALL_OK);
	((fixture *)data)->sent++;
}

static void
on_sum(farcall_call *call, farcall_code code, const Stream__Message *reply, void *data)
{
	fixture *f = (fixture *)data;

	(void)call;
	f->done++;
	f->code = code;
	f->sum = code == FARCALL_OK ? reply->number : 0;
}

static Stream__Message
nth(unsigned n)
{
	Stream__Message message = STREAM__MESSAGE__INIT;

	message.number = n;
	message.data.data = bytes;
	message.data.len = LARGE;
	return message;
}

static void
step_until(fixture *f, const unsigned *what, unsigned n)
{
	while (*what < n)
		assert_int_equal(farcall_loop_step(f->loop, 1000), FARCALL_OK);
}

/* Messages until one waits. */
static unsigned
fill(fixture *f)
{
	unsigned n;

	for (n = 1; f->sent == n - 1; n++) {
		Stream__Message message = nth(n);

		stream_test_sum__send_request__async(f->call, &message, on_sent, f);
		for (int i = 0; i < 20 && (f->sent < n || f->waiting == NULL); i++)
			farcall_loop_step(f->loop, 1);
	}
	assert_non_null(f->waiting);
	return n - 1;
}

static void
send_close(bool half_close)
{
	fixture f;
	unsigned n;

	init(&f);
	n = fill(&f);
	if (half_close)
		farcall_call_half_close(f.call);
	else
		stream_test_sum__finish__async(f.call, on_sum, &f);
	read_all(&f);
	step_until(&f, &f.sent, n);
	if (half_close)
		stream_test_sum__finish__async(f.call, on_sum, &f);
	step_until(&f, &f.done, 1);
	assert_int_equal(f.code, FARCALL_OK);
	assert_int_equal(f.served, n);
	assert_int_equal(f.sum, n);
	fini(&f);
}

static void
half_close_behind_a_message(void **state)
{
	(void)state;
	send_close(true);
}

static void
finish_behind_a_message(void **state)
{
	(void)state;
	send_close(false);
}

/* Its deadline passes while a step waits, and turns the loop. */
static void
on_late(farcall_call *call, farcall_code code, const Stream__Message *reply, void *data)
{
	fixture *f = (fixture *)data;

	(void)reply;
	assert_int_equal(code, FARCALL_DEADLINE_EXCEEDED);
	farcall_call_free(call);
	assert_non_null(f->waiting);
	farcall_call_half_close(f->call);
	read_all(f);
	f->late = true;
}

static void
half_close_in_a_blocking_send(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_call *late;
	unsigned n = 0;
	fixture f;

	(void)state;
	init(&f);
	while (f.waiting == NULL)
		farcall_loop_step(f.loop, 100);
	late = farcall_call_new(f.channel);
	farcall_call_set_timeout_ms(late, 100);
	stream_test_cancelled__async(late, &request, on_late, &f);
	while (!f.late) {
		Stream__Message message = nth(++n);

		assert_int_equal(stream_test_sum__send_request(f.call, &message), FARCALL_OK);
	}
	assert_int_equal(stream_test_sum__finish(f.call, &reply), FARCALL_OK);
	assert_int_equal(f.served, n);
	assert_int_equal(reply->number, n);
	fini(&f);
}

/* In a callback, so that cancel and half-close take their way in one turn. */
static void
on_cancel_time(farcall_call *call, farcall_code code, const Stream__Message *reply, void *data)
{
	fixture *f = (fixture *)data;

	(void)code;
	(void)reply;
	farcall_call_free(call);
	read_all(f);
	farcall_call_cancel(f->call);
	stream_test_sum__finish__async(f->call, on_sum, f);
}

static void
cancel_before_half_close(void **state)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	farcall_call *late;
	fixture f;

	(void)state;
	init(&f);
	while (f.waiting == NULL)
		farcall_loop_step(f.loop, 100);
	late = farcall_call_new(f.channel);
	farcall_call_set_timeout_ms(late, 20);
	stream_test_cancelled__async(late, &request, on_cancel_time, &f);
	step_until(&f, &f.done, 1);
	assert_int_equal(f.code, FARCALL_CANCELLED);
	fini(&f);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(half_close_behind_a_message),
	    clean_test(finish_behind_a_message),
	    clean_test(half_close_in_a_blocking_send),
	    clean_test(cancel_before_half_close),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
