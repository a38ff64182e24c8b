// The same in C++, and the call is asynchronous.
#include <farcall/farcall.h>

#include <future>
#include <iostream>
#include <string>

#include "hello.farcall.h"

extern "C" {

static farcall_code
say_hello(farcall_call *call, const Hello__HelloRequest *request, Hello__HelloReply *reply)
{
	const auto *greeting = static_cast<const std::string *>(farcall_call_self(call));

	reply->message = farcall_call_strdup(call, (*greeting + request->name + "!").c_str());
	return FARCALL_OK;
}

static void
said(farcall_call *call, farcall_code code, const Hello__HelloReply *reply, void *data)
{
	auto *promise = static_cast<std::promise<std::string> *>(data);

	promise->set_value(code == FARCALL_OK ? reply->message : farcall_call_error(call));
	farcall_call_free(call);
}
}

int
main()
{
	std::string greeting = "Hello, ", name = "world";
	std::promise<std::string> promise;
	hello_greeter greeter = {};
	farcall_server *server = farcall_server_new();

	greeter.say_hello = say_hello;
	hello_greeter__register(server, &greeter, &greeting);
	farcall_endpoint *endpoint = farcall_server_bind(server, "127.0.0.1:0");
	if (farcall_server_start(server) != FARCALL_OK) {
		std::cerr << farcall_server_error(server) << '\n';
		farcall_server_free(server);
		return 1;
	}
	std::string target = "127.0.0.1:" + std::to_string(farcall_endpoint_port(endpoint));
	farcall_channel *channel = farcall_channel_open(target.c_str());
	farcall_call *call = farcall_call_new(channel);
	Hello__HelloRequest request = HELLO__HELLO_REQUEST__INIT;
	request.name = &name[0];
	farcall_call_set_timeout_ms(call, 10000);
	hello_greeter_say_hello__async(call, &request, said, &promise);
	std::cout << promise.get_future().get() << '\n';
	farcall_channel_close(channel);
	farcall_server_stop(server, 1000);
	farcall_server_free(server);
	return 0;
}
