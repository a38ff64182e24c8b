/*
 * fork() while streams are open: in the child every step of them is refused and answers so, its
 * callbacks too; what it frees the parent does not notice, and its streams go on.
 */
#include "tests/support/pair.h"
#include "tests/support/streams.h"

#include <stdlib.h>
#include <unistd.h>

#include <sys/wait.h>
#include <uv.h>

enum { FORKS = 10 };

/* A stream by blocking steps, one whose callback is awaited, one on a lent loop. */
typedef struct scene {
	test_streams streams;
	farcall_server *server;
	farcall_channel *channel, *on_loop;
	farcall_loop *loop;
	farcall_call *chat, *awaits, *stepped, *unused;
	atomic_int told;
} scene;

static void
heard(farcall_call *call, farcall_code code, const Stream__Message *message, void *data)
{
	(void)call;
	(void)code;
	(void)message;
	atomic_fetch_add((atomic_int *)data, 1);
}

static farcall_code
exchange(farcall_call *call, const char *text)
{
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;
	farcall_code code;

	request.text = (char *)(uintptr_t)text;
	code = stream_test_chat__send_request(call, &request);
	if (code == FARCALL_OK)
		code = stream_test_chat__recv_reply(call, &reply);
	if (code == FARCALL_OK)
		assert_string_equal(reply->text, text);
	return code;
}

static void
set_up(scene *all)
{
	const char *address;

	memset(all, 0, sizeof *all);
	all->server = farcall_server_new();
	stream_test__register(all->server, &test_stream_handlers, &all->streams);
	address = farcall_endpoint_address(farcall_server_bind(all->server, "127.0.0.1:0"), 0);
	assert_int_equal(farcall_server_start(all->server), FARCALL_OK);
	all->loop = farcall_loop_new();
	all->channel = farcall_channel_open(address);
	all->on_loop = farcall_channel_open(address);
	farcall_channel_set_loop(all->on_loop, all->loop);
	all->chat = farcall_call_new(all->channel);
	all->awaits = farcall_call_new(all->channel);
	all->stepped = farcall_call_new(all->on_loop);
	stream_test_chat__start(all->chat);
	stream_test_murmur__start(all->awaits);
	stream_test_chat__start(all->stepped);
	stream_test_murmur__recv_reply__async(all->awaits, heard, &all->told);
	assert_int_equal(exchange(all->chat, "begin"), FARCALL_OK);
	assert_int_equal(exchange(all->stepped, "begin"), FARCALL_OK);
	all->unused = farcall_call_new(all->channel);
}

/* The parent's streams have not noticed anything. */
static void
tear_down(scene *all)
{
	assert_int_equal(exchange(all->chat, "last"), FARCALL_OK);
	assert_int_equal(exchange(all->stepped, "last"), FARCALL_OK);
	assert_int_equal(atomic_load(&all->told), 0);
	assert_int_equal(stream_test_chat__finish(all->chat), FARCALL_OK);
	assert_int_equal(stream_test_chat__finish(all->stepped), FARCALL_OK);
	farcall_call_half_close(all->awaits);
	test_wait_for(&all->told, 1);
	farcall_call_free(all->chat);
	farcall_call_free(all->awaits);
	farcall_call_free(all->stepped);
	farcall_call_free(all->unused);
	farcall_channel_close(all->on_loop);
	farcall_channel_close(all->channel);
	farcall_server_free(all->server);
	farcall_loop_free(all->loop);
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1); /* the channel's thread ends by itself */
}

/* The child's exit code; a child that hangs is ended by its alarm. */
static int
wait_for_child(pid_t child)
{
	int status = -1;

	assert_true(child > 0);
	assert_int_equal(waitpid(child, &status, 0), child);
	return WIFEXITED(status) ? WEXITSTATUS(status) : 1000 + WTERMSIG(status);
}

static void
ignore_log(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)text, (void)data;
}

static int
free_all(scene *all)
{
	farcall_call_free(all->chat);
	farcall_call_free(all->awaits);
	farcall_call_free(all->stepped);
	farcall_call_free(all->unused);
	farcall_channel_close(all->on_loop);
	farcall_channel_close(all->channel);
	farcall_server_free(all->server);
	farcall_loop_free(all->loop);
	return 0;
}

/* Answers at which step it went wrong; 0: at none. */
static int
misuse(farcall_call *call, int place)
{
	const farcall_code refused = FARCALL_FAILED_PRECONDITION;
	Stream__Message request = STREAM__MESSAGE__INIT;
	const Stream__Message *reply = NULL;

	if (stream_test_chat__recv_reply(call, &reply) != refused)
		return place + 1;
	if (stream_test_chat__send_request(call, &request) != refused)
		return place + 2;
	if (stream_test_chat__finish(call) != refused)
		return place + 3;
	farcall_call_half_close(call);
	farcall_call_cancel(call);
	return 0;
}

static int
misuse_all(scene *all)
{
	int wrong;

	farcall_log_set(ignore_log, NULL);
	wrong = misuse(all->chat, 0);
	if (wrong == 0)
		wrong = misuse(all->stepped, 10);
	if (wrong == 0)
		wrong = misuse(farcall_call_new(all->channel), 20);
	if (wrong == 0 &&
	    stream_test_chat__start(farcall_call_new(all->on_loop)) != FARCALL_FAILED_PRECONDITION)
		wrong = 31;
	return wrong != 0 ? wrong : free_all(all);
}

static void
a_child_frees_streams(void **state)
{
	scene all;

	(void)state;
	set_up(&all);
	for (int i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (child == 0) {
			alarm(30);
			_exit(free_all(&all));
		}
		assert_int_equal(wait_for_child(child), 0);
		assert_int_equal(exchange(all.chat, "between"), FARCALL_OK);
	}
	tear_down(&all);
}

static void
a_childs_steps_are_refused(void **state)
{
	scene all;

	(void)state;
	set_up(&all);
	for (int i = 0; i < FORKS; i++) {
		pid_t child = fork();

		if (child == 0) {
			alarm(30);
			_exit(misuse_all(&all));
		}
		assert_int_equal(wait_for_child(child), 0);
		assert_int_equal(exchange(all.stepped, "between"), FARCALL_OK);
	}
	tear_down(&all);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(a_child_frees_streams),
	    clean_test(a_childs_steps_are_refused),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
