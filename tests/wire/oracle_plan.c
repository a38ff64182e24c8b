/*
 * oracle_plan.c: see oracle_plan.h.
 */
#include "tests/wire/oracle_plan.h"

#include "tests/support/nghttp2_text.h"

#include <stdio.h>

const char *const oracle_paths[ORACLE_PATHS] = {
    "/oracle.A/One", "/oracle.A/Two", "/other.B/Three", "/no/where"};

static void
add_pair(pairs *to, const char *name, const void *value, size_t size, uint32_t flags)
{
	fc_pair *p = &to->at[to->n];
	char *texts = to->texts[to->n][0], *text = to->texts[to->n][1];

	snprintf(texts, sizeof to->texts[0][0], "%s", name);
	if (size != 0)
		memcpy(text, value, size);
	p->name = texts;
	p->name_size = (uint32_t)strlen(name);
	p->value = text;
	p->value_size = (uint32_t)size;
	p->flags = flags;
	to->n++;
}

static void
random_pairs(test_random *random, pairs *to)
{
	static const char *const names[] = {"a", "b-bin", "x-trace", "c-bin", "x-token",
	    "grpc-status-details-bin", "very-long-name-of-metadata.with_all-signs.0123456789"};
	uint32_t n = test_random_below(random, 5);

	if (test_random_below(random, 2) == 0)
		return;
	while (n-- != 0 && to->n < PAIRS) {
		const char *name = names[test_random_below(random, 7)];
		bool binary = strcmp(name + strlen(name) - FC_MIN(strlen(name), 4), "-bin") == 0;
		uint32_t size = test_random_below(random, test_random_below(random, 2) ? 100 : 6);
		char value[120];

		for (uint32_t i = 0; i < size; i++)
			value[i] = (char)(binary ? test_random_below(random, 256)
			                         : 0x21 + test_random_below(random, 0x5e));
		add_pair(to, name, value, size,
		    (binary ? FC_PAIR_BINARY : 0) |
		        (test_random_below(random, 5) == 0 ? FC_PAIR_SENSITIVE : 0));
	}
}

static size_t
random_size(test_random *random, size_t most)
{
	switch (test_random_below(random, 8)) {
	case 0:
		return 0;
	case 1:
		return test_random_below(random, (uint32_t)most + 1);
	case 2:
		/* about what fills a frame */
		return most < 16384 ? most : 16384 - 6 + test_random_below(random, 3);
	default:
		return test_random_below(random, (uint32_t)FC_MIN(most, 400) + 1);
	}
}

static void
random_message(test_random *random, char *to)
{
	static const char *const parts[] = {
	    "plain words", "100%", "\xc3\xa4\xe2\x82\xac", "\n", "%41", "\x01", "%", "\"quoted\""};
	uint32_t n = test_random_below(random, 4);

	to[0] = 0;
	while (n-- != 0)
		strcat(to, parts[test_random_below(random, 8)]);
}

void
oracle_plan(session *s, call *c)
{
	test_random *random = &s->random;
	plan *p = &c->plan;
	char number[12];

	p->path = oracle_paths[test_random_below(random, 4)];
	p->timeout = FC_NEVER;
	if (test_random_below(random, 2) == 0)
		p->timeout =
		    ((uint64_t)test_random_next(random) << 20 | 1) >> test_random_below(random, 40);
	snprintf(number, sizeof number, "%u", (unsigned)c->number);
	add_pair(&p->request, "x-call", number, strlen(number), 0);
	random_pairs(random, &p->request);
	p->n_requests = test_random_below(random, 2) ? 1 : test_random_below(random, MESSAGES);
	p->n_replies = test_random_below(random, 2) ? 1 : test_random_below(random, MESSAGES);
	for (size_t i = 0; i < MESSAGES; i++) {
		p->request_size[i] = random_size(random, s->most);
		p->reply_size[i] = random_size(random, s->most);
	}
	p->last = test_random_below(random, 2) == 0;
	p->early = test_random_below(random, 4) == 0;
	p->explicit = test_random_below(random, 3) == 0;
	if (p->explicit)
		random_pairs(random, &p->head);
	random_pairs(random, &p->tail);
	if (test_random_below(random, 2) == 0) {
		p->code = (farcall_code)test_random_below(random, 17);
		random_message(random, p->message);
	}
	if (test_random_below(random, 6) == 0)
		p->mischief = test_random_below(random, 2) ? CLIENT_CANCELS : SERVER_ABORTS;
	p->mischief_at = test_random_below(random, 6);
}

static uint8_t
byte_of(const call *c, bool reply, size_t i, size_t at)
{
	return (uint8_t)(c->number * 37 + i * 5 + reply * 131 + at + (at >> 9));
}

void
oracle_flat(const fc_payload *payload, uint8_t *to)
{
	const message *m = (const message *)payload->message;

	for (size_t at = 0; at < payload->size; at++)
		to[at] = byte_of(m->call, m->reply, m->i, at);
}

void
oracle_pour(const fc_payload *payload, fc_sink *sink)
{
	const message *m = (const message *)payload->message;
	uint8_t part[3000];
	size_t at = 0;

	while (at < payload->size) {
		size_t n = 0, want = at % 7 == 0 ? 1 : 1 + at * 3 % sizeof part;

		for (; n < want && at < payload->size; at++)
			part[n++] = byte_of(m->call, m->reply, m->i, at);
		sink->add(sink, part, n);
	}
}

/* ---- checks ---- */

void
oracle_check(session *s, bool right, const char *what)
{
	if (!right && s->wrong == NULL)
		s->wrong = what;
}

void
oracle_check_message(call *c, bool reply, size_t i, const uint8_t *at, size_t size)
{
	session *s = c->session;
	bool same = true;

	if (i >= (reply ? c->plan.n_replies : c->plan.n_requests) ||
	    size != (reply ? c->plan.reply_size : c->plan.request_size)[i]) {
		oracle_check(
		    s, false, reply ? "a reply too many, or of wrong size" : "a request likewise");
		return;
	}
	for (size_t k = 0; k < size; k++)
		same &= at[k] == byte_of(c, reply, i, k);
	oracle_check(s, same, "a message's bytes");
}

bool
oracle_same_pair(const fc_pair *seen, const fc_pair *expected)
{
	bytes value = {0};
	bool same;

	if ((expected->flags & FC_PAIR_BINARY) != 0)
		base64_put(&value, expected->value, expected->value_size);
	else
		bytes_add(&value, expected->value, expected->value_size);
	same = seen->name_size == expected->name_size &&
	    memcmp(seen->name, expected->name, seen->name_size) == 0 &&
	    seen->value_size == value.size && memcmp(seen->value, value.at, value.size) == 0 &&
	    (seen->flags & FC_PAIR_BASE64) / FC_PAIR_BASE64 ==
	        (expected->flags & FC_PAIR_BINARY) / FC_PAIR_BINARY &&
	    (seen->flags & FC_PAIR_SENSITIVE) == (expected->flags & FC_PAIR_SENSITIVE);
	bytes_clear(&value);
	return same;
}

void
oracle_check_pairs(
    session *s, size_t n, const fc_pair *seen, const pairs *expected, const char *what)
{
	bool same = n == expected->n;

	for (size_t i = 0; same && i < n; i++)
		same = oracle_same_pair(&seen[i], &expected->at[i]);
	oracle_check(s, same, what);
}

bool
oracle_is_text(fc_text text, const char *expected)
{
	return text.size == strlen(expected) && memcmp(text.at, expected, text.size) == 0;
}

uint64_t
oracle_rounded(uint64_t ns)
{
	char text[24];

	if (ns == FC_NEVER)
		return ns;
	timeout_put(text, sizeof text, ns);
	timeout_get(text, strlen(text), &ns);
	return ns;
}
