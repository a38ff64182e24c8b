#include "tests/pair/hooked.h"

#include <stdio.h>
#include <stdlib.h>
#include <uv.h>

static char lines[8192], shown[8192];
static atomic_flag busy = ATOMIC_FLAG_INIT; /* hooks of several calls, or of one stream, overlap */

static void
lock(void)
{
	while (atomic_flag_test_and_set(&busy))
		;
}

static void
unlock(void)
{
	atomic_flag_clear(&busy);
}

static void
note(const char *what, const char *name)
{
	size_t size = strlen(lines);

	snprintf(lines + size, sizeof lines - size, "%s%s %s", size != 0 ? ", " : "", what, name);
}

const char *
hooked_log(void)
{
	lock();
	memcpy(shown, lines, sizeof shown);
	lines[0] = 0;
	unlock();
	return shown;
}

/* What is allocated in begin must be there in message, and is freed in end: sanitizers watch. */
static farcall_code
begin(farcall_call *call, const farcall_intercepted *about, void *data)
{
	hooked *h = (hooked *)data;
	char *own;

	lock();
	note("begin", h->name);
	h->wrong += *about->state != NULL;
	*about->state = own = (char *)malloc(8);
	memcpy(own, "begun", 6);
	snprintf(h->path, sizeof h->path, "%s", about->path);
	snprintf(h->peer, sizeof h->peer, "%s", about->peer);
	for (h->n_metadata = 0;
	     farcall_metadata_at(about->metadata, h->n_metadata, NULL, NULL, NULL);)
		h->n_metadata++;
	unlock();
	if (h->key != NULL)
		farcall_call_add_metadata(call, h->key, h->value);
	atomic_fetch_add(&h->n_begun, 1);
	if (h->answer == FARCALL_PENDING) {
		h->held = call;
		atomic_fetch_add(&h->n_held, 1);
		if (h->resume_inside)
			farcall_intercept_resume(call, FARCALL_OK);
	} else if (h->text != NULL) {
		return farcall_call_fail(call, h->answer, "%s", h->text);
	}
	return h->answer;
}

static void
message(farcall_call *call, const farcall_intercepted *about, bool sent,
    const ProtobufCMessage *seen, void *data)
{
	hooked *h = (hooked *)data;
	const farcall_bytes *bytes = farcall_bytes_of(seen);

	(void)call;
	lock();
	note(sent ? "sent" : "received", h->name);
	h->wrong += strcmp((const char *)*about->state, "begun") != 0;
	if (bytes != NULL)
		snprintf(
		    h->seen, sizeof h->seen, "%.*s", (int)bytes->size, (const char *)bytes->data);
	else if (seen->descriptor == &pair__message__descriptor)
		snprintf(h->seen, sizeof h->seen, "%s", ((const Pair__Message *)seen)->text);
	else
		snprintf(h->seen, sizeof h->seen, "a %s", seen->descriptor->name);
	unlock();
	atomic_fetch_add(&h->n_messages, 1);
}

static void
end(farcall_call *call, const farcall_intercepted *about, const farcall_outcome *outcome,
    void *data)
{
	hooked *h = (hooked *)data;

	(void)call;
	lock();
	note("end", h->name);
	h->wrong += strcmp((const char *)*about->state, "begun") != 0;
	free(*about->state);
	h->outcome = *outcome;
	snprintf(h->error, sizeof h->error, "%s", outcome->error);
	h->outcome.error = h->error;
	snprintf(h->peer, sizeof h->peer, "%s", about->peer);
	unlock();
	atomic_fetch_add(&h->n_ended, 1);
}

const farcall_interceptor hooked_hooks = {.begin = begin, .message = message, .end = end};

void
hooked_init(hooked *h, const char *name)
{
	memset(h, 0, sizeof *h);
	h->name = name;
}

farcall_call *
hooked_held(hooked *h, int nth)
{
	test_wait_for(&h->n_held, nth);
	return h->held;
}

void
hooked_settle(void)
{
	for (int i = 0; i < 10000 && test_allocator_live() != 0; i++)
		uv_sleep(1);
}
