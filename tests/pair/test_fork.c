/*
 * The contract for fork(): a child may exec, which leaves no descriptor of ours open, or free what
 * it inherited, which nobody else notices. All else is refused. Run with "--files LIST", the
 * program answers by its exit code how many descriptors it has beside those in LIST.
 */
#include "tests/support/pair.h"

#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <sys/wait.h>
#include <uv.h>

#define FORKS 20 /* while everything is busy: a fork may find any lock held */

static char before[4096]; /* ",0,1,2," */
static const char *program;

/* ---- descriptors ---- */

static void
list_files(void)
{
	size_t used = (size_t)snprintf(before, sizeof before, ",");

	for (int fd = 0; fd < 1024 && used < sizeof before - 8; fd++)
		if (fcntl(fd, F_GETFD) >= 0)
			used += (size_t)snprintf(before + used, sizeof before - used, "%d,", fd);
}

/* Through /proc, which forgets none, or one by one where there is none. */
static int
count_others(const char *known)
{
	DIR *folder = opendir("/proc/self/fd");
	const struct dirent *entry;
	char text[32];
	int n = 0;

	for (int fd = 0; folder == NULL && fd < 1024; fd++) {
		snprintf(text, sizeof text, ",%d,", fd);
		n += fcntl(fd, F_GETFD) >= 0 && strstr(known, text) == NULL;
	}
	while (folder != NULL && (entry = readdir(folder)) != NULL) {
		snprintf(text, sizeof text, ",%.20s,", entry->d_name);
		if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(folder) &&
		    strstr(known, text) == NULL) {
			fprintf(stderr, "descriptor %s is open\n", entry->d_name);
			n++;
		}
	}
	if (folder != NULL)
		closedir(folder);
	return n;
}

/* ---- what is in use ---- */

typedef struct scene {
	test_pair threaded, stepped; /* the second one's server is on `loop` */
	farcall_channel *async, *on_loop;
	farcall_loop *loop;
	farcall_server *idle; /* bound, not started */
	farcall_call *unused;
	uv_thread_t caller;
	atomic_int stop, n_async, n_sent;
} scene;

static void
count_reply(farcall_call *call, farcall_code code, const Pair__Message *reply, void *data)
{
	(void)reply;
	if (code == FARCALL_OK)
		atomic_fetch_add((atomic_int *)data, 1);
	farcall_call_free(call);
}

static void
send_async(scene *all, farcall_channel *channel)
{
	Pair__Message request = PAIR__MESSAGE__INIT;

	atomic_fetch_add(&all->n_sent, 1);
	pair_test_echo__async(farcall_call_new(channel), &request, count_reply, &all->n_async);
}

/* Keeps the server, its loops and the async channel's thread at work. */
static void
call_all_the_time(void *data)
{
	scene *all = (scene *)data;
	farcall_channel *channel = farcall_channel_open(test_pair_address(&all->threaded));

	while (!atomic_load(&all->stop)) {
		test_echo(channel, "busy");
		send_async(all, all->async);
	}
	farcall_channel_close(channel);
}

static void
step_until(scene *all, int replies)
{
	for (int i = 0; i < 10000 && atomic_load(&all->n_async) < replies; i++)
		farcall_loop_step(all->loop, 1);
}

static void
set_up(scene *all)
{
	memset(all, 0, sizeof *all);
	list_files();
	test_pair_init(&all->threaded, "127.0.0.1:0");
	farcall_server_set_loops(all->threaded.server, 2);
	test_pair_start(&all->threaded);
	assert_int_equal(test_echo(all->threaded.channel, "begin"), FARCALL_OK);
	all->async = farcall_channel_open(test_pair_address(&all->threaded));
	all->loop = farcall_loop_new();
	test_pair_init(&all->stepped, "127.0.0.1:0");
	farcall_server_set_loop(all->stepped.server, all->loop);
	test_pair_start(&all->stepped);
	all->on_loop = farcall_channel_open(test_pair_address(&all->stepped));
	farcall_channel_set_loop(all->on_loop, all->loop);
	send_async(all, all->on_loop);
	step_until(all, 1);
	assert_int_equal(atomic_load(&all->n_async), 1);
	all->idle = farcall_server_new();
	farcall_server_bind(all->idle, "127.0.0.1:0");
	all->unused = farcall_call_new(all->threaded.channel);
	assert_int_equal(uv_thread_create(&all->caller, call_all_the_time, all), 0);
}

/* The parent notices nothing: 100 calls, by thread and by loop. */
static void
tear_down(scene *all)
{
	for (int i = 0; i < 100; i++)
		assert_int_equal(test_echo(all->threaded.channel, "still here"), FARCALL_OK);
	atomic_store(&all->stop, 1);
	uv_thread_join(&all->caller);
	test_wait_for(&all->n_async, atomic_load(&all->n_sent));
	for (int i = 0; i < 100; i++) {
		send_async(all, all->on_loop);
		step_until(all, atomic_load(&all->n_sent));
		assert_int_equal(atomic_load(&all->n_async), atomic_load(&all->n_sent));
	}
	farcall_call_free(all->unused);
	farcall_channel_close(all->on_loop);
	farcall_channel_close(all->async);
	farcall_server_free(all->idle);
	test_pair_fini(&all->stepped);
	test_pair_fini(&all->threaded);
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

/* ---- (a) exec ---- */

static void
exec_leaves_nothing_open(void **state)
{
	scene all;

	(void)state;
	set_up(&all);
	for (int i = 0; i < 5; i++) {
		pid_t child = fork();

		if (child == 0) {
			alarm(30);
			execl(program, program, "--files", before, (char *)NULL);
			_exit(99);
		}
		assert_int_equal(wait_for_child(child), 0);
	}
	tear_down(&all);
}

/* ---- (b) free ---- */

static int
free_all(scene *all)
{
	farcall_call_free(all->unused);
	farcall_channel_close(all->on_loop);
	farcall_channel_close(all->async);
	farcall_channel_close(all->threaded.channel);
	farcall_channel_close(all->stepped.channel);
	farcall_server_free(all->idle);
	farcall_server_free(all->stepped.server);
	farcall_server_free(all->threaded.server);
	farcall_loop_free(all->loop);
	return 0;
}

static void
free_touches_nothing_of_the_parents(void **state)
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
		assert_int_equal(test_echo(all.threaded.channel, "between"), FARCALL_OK);
	}
	tear_down(&all);
}

/* The descriptors of what is freed are closed: here without other threads, whose channel, not
 * freed, would keep its own. The two that libuv has for the process stay, and were there before. */
static void
free_closes_descriptors(void **state)
{
	test_pair pair;
	farcall_loop *loop;
	pid_t child;

	(void)state;
	list_files();
	loop = farcall_loop_new();
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	assert_int_equal(test_echo(pair.channel, "hello"), FARCALL_OK);
	child = fork();
	if (child == 0) {
		alarm(30);
		farcall_channel_close(pair.channel);
		farcall_server_free(pair.server);
		farcall_loop_free(loop);
		_exit(count_others(before));
	}
	assert_int_equal(wait_for_child(child), 0);
	for (int i = 0; i < 100; i++)
		assert_int_equal(test_echo(pair.channel, "hello"), FARCALL_OK);
	farcall_loop_free(loop);
	test_pair_fini(&pair);
}

/* ---- else ---- */

static void
ignore_log(farcall_log_level level, const char *text, void *data)
{
	(void)level, (void)text, (void)data;
}

static farcall_code
invoke(farcall_call *call)
{
	Pair__Message request = PAIR__MESSAGE__INIT;
	const Pair__Message *reply = NULL;

	return pair_test_echo(call, &request, &reply);
}

/* Answers at which step it went wrong; 0: at none. */
static int
misuse_all(scene *all)
{
	const farcall_code refused = FARCALL_FAILED_PRECONDITION;

	farcall_log_set(ignore_log, NULL);
	farcall_server_stop(all->threaded.server, 0);
	farcall_call_cancel(all->unused);
	if (invoke(farcall_call_new(all->threaded.channel)) != refused)
		return 1;
	if (invoke(farcall_call_new(all->async)) != refused)
		return 2;
	if (invoke(farcall_call_new(all->on_loop)) != refused)
		return 3;
	if (farcall_channel_wait_ready(all->async, 10000) != refused)
		return 4;
	if (farcall_loop_step(all->loop, 0) != refused)
		return 5;
	if (farcall_server_wait(all->threaded.server) != refused)
		return 6;
	if (farcall_server_listen(all->idle) != refused)
		return 7;
	if (strstr(farcall_server_error(all->idle), "fork") == NULL)
		return 8;
	return 0;
}

static void
all_else_is_refused(void **state)
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
	}
	tear_down(&all);
}

/* What a child makes itself works. */
static void
a_child_makes_its_own(void **state)
{
	test_pair pair;
	pid_t child;

	(void)state;
	test_pair_init(&pair, "127.0.0.1:0");
	test_pair_start(&pair);
	assert_int_equal(test_echo(pair.channel, "hello"), FARCALL_OK);
	child = fork();
	if (child == 0) {
		farcall_channel *channel;
		farcall_call *call;
		farcall_code code;

		alarm(30);
		channel = farcall_channel_open(test_pair_address(&pair));
		call = farcall_call_new(channel);
		code = invoke(call);
		farcall_call_free(call);
		farcall_channel_close(channel);
		_exit((int)code);
	}
	assert_int_equal(wait_for_child(child), 0);
	test_pair_fini(&pair);
}

int
main(int argc, char **argv)
{
	const struct CMUnitTest tests[] = {
	    clean_test(exec_leaves_nothing_open),
	    clean_test(free_touches_nothing_of_the_parents),
	    clean_test(free_closes_descriptors),
	    clean_test(all_else_is_refused),
	    clean_test(a_child_makes_its_own),
	};

	program = argv[0];
	if (argc == 3 && strcmp(argv[1], "--files") == 0)
		return count_others(argv[2]);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
