// A C++ program includes the headers and calls what is generated, in each shape.
#include <farcall/farcall.h>

#include "comments.farcall.h"
#include "imports.farcall.h"
#include "keywords.farcall.h"
#include "nopackage.farcall.h"
#include "options.farcall.h"
#include "shapes.farcall.h"
#include "verbs_alone.farcall.h"

extern "C" {

static farcall_code
one(farcall_call *call, const Golden__Shapes__Ask *request, Golden__Shapes__Answer *reply)
{
	reply->text = farcall_call_strdup(call, request->text);
	return FARCALL_OK;
}

static farcall_code
many_in(farcall_call *call, Golden__Shapes__Answer *reply)
{
	const Golden__Shapes__Ask *ask;
	farcall_code code;

	while ((code = golden_shapes_shapes_many_in__recv_request(call, &ask)) == FARCALL_OK)
		reply->text = farcall_call_strdup(call, ask->text);
	return code == FARCALL_END ? FARCALL_OK : code;
}

static farcall_code
remove_item(farcall_call *, const Google__Protobuf__Empty *, Google__Protobuf__Empty *)
{
	return FARCALL_OK;
}

static void
done(farcall_call *call, farcall_code, const Golden__Shapes__Answer *, void *)
{
	farcall_call_free(call);
}
}

farcall_service *use_server(farcall_server *server);
farcall_code use_client(farcall_call *call);

farcall_service *
use_server(farcall_server *server)
{
	static golden_shapes_shapes handlers;
	static golden_alone_store store;

	store.delete_ = remove_item;
	golden_alone_store__register(server, &store, nullptr);
	handlers.one = one;
	handlers.many_in = many_in;
	return golden_shapes_shapes__register(server, &handlers, nullptr);
}

farcall_code
use_client(farcall_call *call)
{
	Golden__Shapes__Ask ask = GOLDEN__SHAPES__ASK__INIT;
	const Golden__Shapes__Answer *answer;

	Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;

	golden_alone_store_delete(call, &empty, nullptr);
	golden_shapes_shapes_one__async(call, &ask, done, nullptr);
	golden_shapes_shapes_both_ways__send_request(call, &ask);
	golden_shapes_shapes_many_in__finish__async(call, done, nullptr);
	return golden_shapes_shapes_one(call, &ask, &answer);
}
