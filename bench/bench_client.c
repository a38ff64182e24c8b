/*
 * farcall-bench-client: calls bench.EchoService.Echo as fast as it can and prints one line of JSON.
 *
 *   --port N --conns C --out O --size S   C connections, O calls outstanding on each, S bytes (1,
 * 1, 64)
 *   --calls N | --secs S --warm W         so many calls, or so long after a warm-up (0.7 s, 0.15 s)
 *   --variant sync | async | open         one blocking call after another (C and O are 1);
 * callbacks on a stepped loop; or --rate R calls a second, come what may, each --sleep-every Nth a
 * Sleep of 100 ms, that is not counted; times are from when a call was due
 *   --mode brief                          calls of Stream, one message each, by callbacks
 *   --mode stream                         one Stream, O messages in flight; --variant async:
 * callbacks on a stepped loop; sync: blocking steps on a stepped loop; threads: one thread sends,
 * one receives
 *
 * Every answer's size is checked; a failed call ends the program with 1.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include <uv.h>

#include "bench.farcall.h"

#define SUB 64 /* slots of the histogram for each power of two: 1.6 % */
#define SLOTS (SUB * 40)

static struct {
	int port, conns, out, size;
	double secs, warm;
	uint64_t calls;
	const char *mode, *variant;
	double rate;
	int sleep_every;
} options = {0, 1, 1, 64, 0.7, 0.15, 0, "echo", "async", 10000, 0};

static struct {
	uint64_t from, until, begun, ended, counted, last;
	uint32_t slots[SLOTS];
} meter;

static Bench__EchoMsg request = BENCH__ECHO_MSG__INIT;

typedef struct job {
	farcall_channel *channel;
	uint64_t sent;
} job;

static uint64_t
now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static int
slot_of(uint64_t ns)
{
	int power = 0, slot;

	if (ns < SUB)
		return (int)ns;
	while (ns >> power >= 2 * SUB)
		power++;
	slot = power * SUB + (int)(ns >> power);
	return slot < SLOTS ? slot : SLOTS - 1;
}

static double
slot_us(int slot)
{
	int power = slot < 2 * SUB ? 0 : slot / SUB - 1;

	return (double)((uint64_t)(slot - power * SUB) << power) / 1000;
}

static double
percentile(double share)
{
	uint64_t want = (uint64_t)(share * (double)meter.counted), seen = 0;

	for (int i = 0; i < SLOTS; i++)
		if ((seen += meter.slots[i]) > want)
			return slot_us(i);
	return 0;
}

static int
more(uint64_t now)
{
	return options.calls != 0 ? meter.begun < options.calls : now < meter.until;
}

static void
die(farcall_call *call)
{
	fprintf(stderr, "farcall-bench-client: %s\n", farcall_call_error(call));
	exit(1);
}

static void
check(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply)
{
	if (code != FARCALL_OK || reply->payload.len != (size_t)options.size)
		die(call);
}

static uint64_t
count(uint64_t sent)
{
	uint64_t now = now_ns();

	meter.ended++;
	if (now < meter.from || now >= meter.until)
		return now;
	meter.counted++;
	meter.last = now;
	meter.slots[slot_of(now - sent)]++;
	return now;
}

static uint64_t
finished(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply, uint64_t sent)
{
	check(call, code, reply);
	return count(sent);
}

static void begin(job *job, uint64_t now);

static void
on_reply(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply, void *data)
{
	job *mine = (job *)data;
	uint64_t now = finished(call, code, reply, mine->sent);

	farcall_call_free(call);
	if (more(now))
		begin(mine, now);
}

/* ---- streams of one message each ---- */

static void
on_brief_end(farcall_call *call, farcall_code code, const ProtobufCMessage *none, void *data)
{
	job *mine = (job *)data;
	uint64_t now = count(mine->sent);

	(void)none;
	if (code != FARCALL_OK)
		die(call);
	farcall_call_free(call);
	if (more(now))
		begin(mine, now);
}

static void
on_brief_reply(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply, void *data)
{
	check(call, code, reply);
	farcall_call_finish_async(call, on_brief_end, data);
}

static void
begin_brief(job *mine)
{
	farcall_call *call = farcall_call_new(mine->channel);

	if (bench_echo_service_stream__start(call) != FARCALL_OK)
		die(call);
	bench_echo_service_stream__send_request__async(call, &request, NULL, NULL);
	farcall_call_half_close(call);
	bench_echo_service_stream__recv_reply__async(call, on_brief_reply, mine);
}

static void
begin(job *mine, uint64_t now)
{
	meter.begun++;
	mine->sent = now;
	if (options.mode[0] == 'b') {
		begin_brief(mine);
		return;
	}
	bench_echo_service_echo__async(farcall_call_new(mine->channel), &request, on_reply, mine);
}

static void
run_async(const char *target)
{
	farcall_loop *loop = farcall_loop_new();
	job *jobs = (job *)calloc((size_t)(options.conns * options.out), sizeof *jobs);

	for (int i = 0; i < options.conns; i++) {
		farcall_channel *channel = farcall_channel_open(target);

		farcall_channel_set_loop(channel, loop);
		for (int j = 0; j < options.out; j++) {
			jobs[i * options.out + j].channel = channel;
			begin(&jobs[i * options.out + j], now_ns());
		}
	}
	while (meter.ended < meter.begun)
		farcall_loop_step(loop, -1);
	for (int i = 0; i < options.conns; i++)
		farcall_channel_close(jobs[i * options.out].channel);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
	free(jobs);
}

static void
run_sync(const char *target)
{
	farcall_channel *channel = farcall_channel_open(target);

	while (more(now_ns())) {
		farcall_call *call = farcall_call_new(channel);
		const Bench__EchoMsg *reply = NULL;
		uint64_t sent = now_ns();
		farcall_code code;

		meter.begun++;
		code = bench_echo_service_echo(call, &request, &reply);
		finished(call, code, reply, sent);
		farcall_call_free(call);
	}
	farcall_channel_close(channel);
}

static void
on_slept(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply, void *data)
{
	(void)reply;
	(void)data;
	if (code != FARCALL_OK)
		die(call);
	meter.ended++;
	farcall_call_free(call);
}

static void
on_due_reply(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply, void *data)
{
	uint64_t *due = (uint64_t *)data;

	finished(call, code, reply, *due);
	farcall_call_free(call);
	free(due);
}

static void
begin_due(farcall_channel *channel, uint64_t when)
{
	static const Bench__SleepMsg nap = {
	    PROTOBUF_C_MESSAGE_INIT(&bench__sleep_msg__descriptor), 100};
	farcall_call *call = farcall_call_new(channel);
	uint64_t *due;

	meter.begun++;
	if (options.sleep_every != 0 && meter.begun % (uint64_t)options.sleep_every == 0) {
		bench_echo_service_sleep__async(call, &nap, on_slept, NULL);
		return;
	}
	due = (uint64_t *)malloc(sizeof *due);
	*due = when;
	bench_echo_service_echo__async(call, &request, on_due_reply, due);
}

static void
run_open(const char *target)
{
	farcall_loop *loop = farcall_loop_new();
	farcall_channel *channel = farcall_channel_open(target);
	uint64_t interval = (uint64_t)(1e9 / options.rate), next;

	farcall_channel_set_loop(channel, loop);
	for (next = now_ns(); next < meter.until; next += interval) {
		while (now_ns() < next)
			farcall_loop_step(loop, 0);
		begin_due(channel, next);
	}
	while (meter.ended < meter.begun)
		farcall_loop_step(loop, -1);
	farcall_channel_close(channel);
	farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
}

/* ---- one stream ---- */

/* When the messages in flight were sent. */
static struct {
	uint64_t sent[1 << 16];
	uint64_t now;
	bool sending, ended;
	uv_sem_t room;
} row;

static uint64_t *
when(uint64_t n)
{
	return &row.sent[n % (sizeof row.sent / sizeof *row.sent)];
}

/* Of the answer that comes next; says what time it is. */
static uint64_t
answered(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply)
{
	return finished(call, code, reply, *when(meter.ended));
}

static void
end_stream(farcall_call *call, farcall_code code)
{
	if (code != FARCALL_END || farcall_call_finish(call, NULL) != FARCALL_OK)
		die(call);
	farcall_call_free(call);
}

static void
blocking_stream(farcall_call *call)
{
	const Bench__EchoMsg *reply = NULL;
	uint64_t now = now_ns();
	farcall_code code;

	for (;;) {
		while (meter.begun - meter.ended < (uint64_t)options.out && more(now)) {
			*when(meter.begun++) = now;
			if (bench_echo_service_stream__send_request(call, &request) != FARCALL_OK)
				die(call);
		}
		if (meter.begun == meter.ended)
			break;
		code = bench_echo_service_stream__recv_reply(call, &reply);
		now = answered(call, code, reply);
	}
	farcall_call_half_close(call);
	end_stream(call, bench_echo_service_stream__recv_reply(call, &reply));
}

static void
send_in_thread(void *data)
{
	farcall_call *call = (farcall_call *)data;
	uint64_t now;

	while (uv_sem_wait(&row.room), more(now = now_ns())) {
		*when(meter.begun++) = now;
		if (bench_echo_service_stream__send_request(call, &request) != FARCALL_OK)
			die(call);
	}
	farcall_call_half_close(call);
}

static void
threaded_stream(farcall_call *call)
{
	const Bench__EchoMsg *reply = NULL;
	farcall_code code;
	uv_thread_t sender;

	uv_sem_init(&row.room, (unsigned)options.out);
	uv_thread_create(&sender, send_in_thread, call);
	while ((code = bench_echo_service_stream__recv_reply(call, &reply)) == FARCALL_OK) {
		answered(call, code, reply);
		uv_sem_post(&row.room);
	}
	uv_thread_join(&sender);
	end_stream(call, code);
}

static void
on_stream_sent(farcall_call *call, farcall_code code, const ProtobufCMessage *none, void *data)
{
	(void)none;
	(void)data;
	if (code != FARCALL_OK && code != FARCALL_END)
		die(call);
	row.sending = false;
	if (meter.begun - meter.ended == (uint64_t)options.out)
		return;
	if (!more(row.now)) {
		farcall_call_half_close(call);
		return;
	}
	*when(meter.begun++) = row.now;
	row.sending = true;
	bench_echo_service_stream__send_request__async(call, &request, on_stream_sent, NULL);
}

static void
on_stream_reply(farcall_call *call, farcall_code code, const Bench__EchoMsg *reply, void *data)
{
	if (code == FARCALL_END) {
		row.ended = true;
		return;
	}
	row.now = answered(call, code, reply);
	if (!row.sending)
		on_stream_sent(call, FARCALL_OK, NULL, NULL);
	bench_echo_service_stream__recv_reply__async(call, on_stream_reply, data);
}

static void
run_stream(const char *target)
{
	bool threads = strcmp(options.variant, "threads") == 0;
	farcall_loop *loop = threads ? NULL : farcall_loop_new();
	farcall_channel *channel = farcall_channel_open(target);
	farcall_call *call;

	if (!threads)
		farcall_channel_set_loop(channel, loop);
	call = farcall_call_new(channel);
	if (bench_echo_service_stream__start(call) != FARCALL_OK)
		die(call);
	if (threads) {
		threaded_stream(call);
	} else if (strcmp(options.variant, "sync") == 0) {
		blocking_stream(call);
	} else {
		row.now = now_ns();
		on_stream_sent(call, FARCALL_OK, NULL, NULL);
		bench_echo_service_stream__recv_reply__async(call, on_stream_reply, NULL);
		while (!row.ended)
			farcall_loop_step(loop, -1);
		end_stream(call, FARCALL_END);
	}
	farcall_channel_close(channel);
	if (!threads)
		farcall_loop_step(loop, 0);
	farcall_loop_free(loop);
}

static void
report(void)
{
	double secs = 1e-9 * (double)((options.calls != 0 ? meter.last : meter.until) - meter.from);
	struct rusage used;
	double cpu;

	getrusage(RUSAGE_SELF, &used);
	cpu = (double)(used.ru_utime.tv_sec + used.ru_stime.tv_sec) +
	    1e-6 * (double)(used.ru_utime.tv_usec + used.ru_stime.tv_usec);
	printf(
	    "{\"calls\":%llu,\"total\":%llu,\"secs\":%.4f,\"rate\":%.1f,\"p50\":%.2f,\"p99\":%.2f,"
	    "\"client_cpu\":%.4f}\n",
	    (unsigned long long)meter.counted, (unsigned long long)meter.ended, secs,
	    secs > 0 ? (double)meter.counted / secs : 0, percentile(0.5), percentile(0.99), cpu);
}

static int
take_option(const char *name, const char *value)
{
	if (strcmp(name, "--port") == 0)
		options.port = atoi(value);
	else if (strcmp(name, "--conns") == 0)
		options.conns = atoi(value);
	else if (strcmp(name, "--out") == 0)
		options.out = atoi(value);
	else if (strcmp(name, "--size") == 0)
		options.size = atoi(value);
	else if (strcmp(name, "--secs") == 0)
		options.secs = atof(value);
	else if (strcmp(name, "--warm") == 0)
		options.warm = atof(value);
	else if (strcmp(name, "--calls") == 0)
		options.calls = strtoull(value, NULL, 10);
	else if (strcmp(name, "--variant") == 0)
		options.variant = value;
	else if (strcmp(name, "--mode") == 0)
		options.mode = value;
	else if (strcmp(name, "--rate") == 0)
		options.rate = atof(value);
	else if (strcmp(name, "--sleep-every") == 0)
		options.sleep_every = atoi(value);
	else
		return 0;
	return 1;
}

int
main(int argc, char **argv)
{
	char target[32];
	int i;

	for (i = 1; i + 1 < argc && take_option(argv[i], argv[i + 1]); i += 2)
		;
	if (i < argc || options.port == 0 || options.conns < 1 || options.out < 1 ||
	    options.size < 0 || options.out > 1 << 16 || options.rate < 1) {
		fprintf(stderr,
		    "usage: farcall-bench-client --port N [--conns C] [--out O] "
		    "[--size BYTES] [--calls N | --secs S --warm W] "
		    "[--mode echo|brief|stream] [--variant sync|async|open|threads] [--rate R] "
		    "[--sleep-every N]\n");
		return 2;
	}
	snprintf(target, sizeof target, "127.0.0.1:%d", options.port);
	request.payload.len = (size_t)options.size;
	request.payload.data = (uint8_t *)calloc(1, (size_t)options.size + 1);
	meter.from = now_ns() + (options.calls != 0 ? 0 : (uint64_t)(options.warm * 1e9));
	meter.until = options.calls != 0 ? UINT64_MAX : meter.from + (uint64_t)(options.secs * 1e9);
	if (strcmp(options.mode, "stream") == 0)
		run_stream(target);
	else if (strcmp(options.variant, "sync") == 0)
		run_sync(target);
	else if (strcmp(options.variant, "open") == 0)
		run_open(target);
	else
		run_async(target);
	report();
	free(request.payload.data);
	return 0;
}
