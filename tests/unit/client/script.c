#include "tests/unit/client/script.h"

#include "runtime/base/alloc.h"

script played;

void
script_answer(tiny_call *call, const script_line *line)
{
	static const char name[] = "grpc-retry-pushback-ms";
	fc_conn *conn = &call->conn->conn;
	fc_pair pair = {name, line->pushback, sizeof name - 1, 0, 0};
	fc_tail tail = {.code = line->code, .message = {"as told", 7}, .metadata = &pair};

	if (line->head || line->code == FARCALL_OK)
		tiny_send(call, "", 0);
	if (line->pushback == NULL) {
		tiny_end(call, line->code, "as told");
		return;
	}
	pair.value_size = (uint32_t)strlen(line->pushback);
	tail.n_metadata = 1;
	conn->ops->send_tail(conn->engine, call->stream, &tail);
	fc_conn_touch(conn);
	conn->ops->release(conn->engine, call->stream);
	fc_list_remove(&call->in_conn);
	fc_free(call);
}

static void
on_head(tiny_call *call, const fc_head *head)
{
	int i = played.n_requests++;

	assert_true(i < SCRIPT_MOST);
	played.at[i] = fc_loop_now(call->conn->server->loop);
	played.previous[i] = -1;
	for (size_t j = 0; j < head->n_metadata; j++)
		if (head->metadata[j].name_size == 26 &&
		    memcmp(head->metadata[j].name, "grpc-previous-rpc-attempts", 26) == 0)
			played.previous[i] = head->metadata[j].value[0] - '0';
}

static void
on_complete(tiny_call *call)
{
	static const script_line ok = {.code = FARCALL_OK};
	int i = played.n_requests - 1;
	const script_line *line = i < played.n ? &played.lines[i] : &ok;

	if (line->silent)
		played.kept[i] = call;
	else
		script_answer(call, line);
}

static void
on_abort(tiny_call *call)
{
	played.n_aborts++;
	for (int i = 0; i < SCRIPT_MOST; i++)
		if (played.kept[i] == call)
			played.kept[i] = NULL;
}

void
script_restart(const script_line *lines, int n)
{
	memset(&played, 0, sizeof played);
	played.lines = lines;
	played.n = n;
}

void
script_begin(fixture *f, const char *json, const script_line *lines, int n)
{
	begin(f);
	f->server.on_head = on_head;
	f->server.on_complete = on_complete;
	f->server.on_abort = on_abort;
	script_restart(lines, n);
	farcall_channel_set_service_config(f->channel, json);
	assert_string_equal(farcall_channel_error(f->channel), "");
}

void
script_end(fixture *f)
{
	turns(f, 4);
	end(f);
}

void
script_wait(fixture *f, const outcome *to)
{
	for (int i = 0; i < 10000 && to->times == 0; i++)
		fc_loop_turn(f->loop, FC_NEVER);
	assert_int_equal(to->times, 1);
}
