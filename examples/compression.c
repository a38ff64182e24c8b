/*
 * compression: a server and a client in one program. Answers are compressed for clients that take
 * it; requests as the channel says, the call says otherwise, or a message is exempt. Each line says
 * what each end saw.
 */
#include <stdio.h>
#include <string.h>

#include "demo.farcall.h"

static const char *
how(const farcall_call *call)
{
	return farcall_call_message_compressed(call) ? "compressed" : "as it is";
}

static farcall_code
say_hello(farcall_call *call, const Demo__HelloRequest *request, Demo__HelloReply *reply)
{
	/* An answer that holds a secret is not compressed beside what a stranger chose. */
	if (strncmp(request->name, "secret", 6) == 0)
		farcall_call_set_message_compression(call, false);
	reply->message = farcall_call_printf(call, "request %s, %s", how(call), request->name);
	return FARCALL_OK;
}

static const struct demo_greeter greeter = {.say_hello = say_hello};

/* One call; `coding` 0: the channel's. */
static farcall_code
greet(farcall_channel *channel, const char *title, char *name, farcall_coding coding, bool plain)
{
	Demo__HelloRequest request = DEMO__HELLO_REQUEST__INIT;
	farcall_call *call = farcall_call_new(channel);
	const Demo__HelloReply *reply;
	farcall_code rc;

	request.name = name;
	if (coding != 0)
		farcall_call_set_compression(call, coding);
	if (plain)
		farcall_call_set_message_compression(call, false);
	farcall_call_set_timeout_ms(call, 5000);
	if ((rc = demo_greeter_say_hello(call, &request, &reply)))
		fprintf(stderr, "compression: %s\n", farcall_call_error(call));
	else
		printf("%s: %.*s, reply %s\n", title, (int)strcspn(reply->message, ","),
		    reply->message, how(call));
	farcall_call_free(call);
	return rc;
}

int
main(void)
{
	farcall_server *server = farcall_server_new();
	char name[1000] = "", secret[1000] = "secret";
	farcall_channel *channel;
	farcall_code rc;

	memset(name, 'n', sizeof name - 1);
	memset(secret + 6, 's', sizeof secret - 7);
	farcall_server_set_compression(server, FARCALL_GZIP);
	demo_greeter__register(server, &greeter, NULL);
	farcall_server_bind(server, "mem:compression");
	farcall_server_start(server);

	channel = farcall_channel_open("mem:compression");
	farcall_channel_set_compression(channel, FARCALL_DEFLATE);
	if ((rc = greet(channel, "by the channel", name, 0, false)) == FARCALL_OK &&
	    (rc = greet(channel, "by the call", name, FARCALL_IDENTITY, false)) == FARCALL_OK &&
	    (rc = greet(channel, "a secret", secret, FARCALL_GZIP, true)) == FARCALL_OK)
		rc = greet(channel, "too short to gain", "x", 0, false);
	farcall_channel_close(channel);
	farcall_server_free(server);
	return rc != FARCALL_OK;
}
