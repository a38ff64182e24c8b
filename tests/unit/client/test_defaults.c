/*
 * What docs/limits.md says of a channel and a server that nobody has set anything of, and those
 * bounds that no test reaches by waiting. The numbers stand here once more, by themselves: one that
 * changes must change in the document too.
 */
#include "tests/unit/client/attempts.h"

#include "runtime/call/conn.h"
#include "runtime/loop/crew.h"
#include "runtime/protocol/h2/connection.h"
#include "runtime/transport/address.h"
#include "runtime/transport/mem.h"
#include "runtime/transport/names.h"
#include "runtime/transport/registry.h"
#include "server/internal.h"

static void
of_a_channel(void **state)
{
	farcall_channel *channel = farcall_channel_open("mem:defaults");
	const fc_engine_config *config = &channel->config;

	(void)state;
	assert_int_equal(config->max_message, 4194304);
	assert_int_equal(config->max_metadata, 16384);
	assert_int_equal(config->stream_window, 1048576);
	assert_int_equal(config->connection_window, 2147483647);
	assert_int_equal(config->settings_timeout_ns, UINT64_C(30000000000));
	farcall_channel_close(channel);
}

static void
of_a_server(void **state)
{
	farcall_server *server = farcall_server_new();
	const fc_engine_config *config;

	(void)state;
	assert_int_equal(server->max_connections, 10000);
	assert_int_equal(server->max_calls, 10000);
	assert_int_equal(server->handler_threads, 64);
	farcall_server_bind(server, "mem:defaults");
	farcall_server_start(server);
	assert_string_equal(farcall_server_error(server), "");
	assert_int_equal(server->n_loops, 1);
	config = &server->loops[0]->config;
	assert_int_equal(config->max_message, 4194304);
	assert_int_equal(config->max_metadata, 16384);
	assert_int_equal(config->max_streams, 1024);
	assert_int_equal(config->stream_window, 1048576);
	assert_int_equal(config->connection_window, 2147483647);
	assert_int_equal(config->settings_timeout_ns, UINT64_C(10000000000));
	farcall_server_free(server);
}

/* A first signal gives 30 s, a second none. */
static void
of_signals(void **state)
{
	farcall_server *server = farcall_server_new();

	(void)state;
	fc_server_on_signal(&server->signals);
	assert_int_equal(atomic_load(&server->stop_grace), 30000);
	fc_server_on_signal(&server->signals);
	assert_int_equal(atomic_load(&server->stop_grace), 0);
	farcall_server_free(server);
}

/* Each address has 20 s, and the wait before the next attempt if that is longer. */
static void
of_connecting(void **state)
{
	fixture f;

	(void)state;
	begin_stopped(&f);
	assert_int_equal(call_with_timeout(&f, UINT64_MAX), FARCALL_UNAVAILABLE);
	assert_int_equal(f.channel->sub.patience, UINT64_C(20000000000));
	end_stopped(&f);
}

static void
of_http2(void **state)
{
	(void)state;
	assert_int_equal(FC_H2_BLOCK_MOST, 65536);
	assert_int_equal(FC_H2_CONTINUATIONS_MOST, 8);
	assert_int_equal(FC_H2_SETTINGS_MOST, 32);
	assert_int_equal(FC_H2_OUTPUT_MOST, 1048576);
	assert_int_equal(FC_H2_CONGESTED, 1048576 + 65536);
	assert_int_equal(FC_H2_INDUCED_MOST, 1000);
	assert_int_equal(FC_H2_INDUCED_END, 10000);
	assert_int_equal(FC_H2_RESETS_BURST, 1000);
	assert_int_equal(FC_H2_RESETS_RATE, 33);
	assert_int_equal(FC_H2_STREAMS_AT_FIRST, 100);
	assert_int_equal(FC_H2_EMPTIES_MOST, 1024);
	assert_int_equal(FC_H2_PATIENCE_NS, UINT64_C(60000000000));
	assert_int_equal(FC_H2_GATHERED_MOST, 67108864);
	assert_int_equal(FC_H2_FRAME_SIZE, 16384);
	assert_int_equal(FC_FIELDS_MOST, 144);
	assert_int_equal(FC_PAIRS_MOST, 128);
}

static void
of_connections(void **state)
{
	(void)state;
	assert_int_equal(FC_CONN_HANDSHAKE_NS, UINT64_C(10000000000));
	assert_int_equal(FC_CONN_STUCK_NS, UINT64_C(60000000000));
	assert_int_equal(FC_CONN_UNSENT_NS, UINT64_C(10000000000));
	assert_int_equal(FC_CONN_LINGER_NS, UINT64_C(1000000000));
	assert_int_equal(FC_SERVER_BACKLOG_MOST, 67108864);
	assert_int_equal(FC_SERVER_ENDPOINTS_MOST, 64);
	assert_int_equal(FC_CALL_KEPT, 1048576);
	assert_int_equal(FC_CREW_QUEUE, 1024);
	assert_int_equal(FC_BACKOFF_FIRST_NS, UINT64_C(1000000000));
	assert_int_equal(FC_BACKOFF_MOST_NS, UINT64_C(120000000000));
}

static void
of_addresses_and_records(void **state)
{
	(void)state;
	assert_int_equal(FC_HOSTS_MOST, 32);
	assert_int_equal(FC_PLACES_MOST, 64);
	assert_int_equal(FC_CLIENT_PLACES_MOST, 64);
	assert_int_equal(FC_ADDRESS_MOST, 1024);
	assert_int_equal(FC_RECORDS_MOST, 1024);
	assert_int_equal(FC_RECORD_ADDRESSES, 32);
	assert_int_equal(FC_LEASE_S, 30);
	assert_int_equal(FC_MEM_NAME_MOST, 100);
	assert_int_equal(FC_MEM_RING, 65536);
	assert_int_equal(FC_MEM_BACKLOG, 1024);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
	    clean_test(of_a_channel),
	    clean_test(of_a_server),
	    clean_test(of_signals),
	    clean_test(of_connecting),
	    clean_test(of_http2),
	    clean_test(of_connections),
	    clean_test(of_addresses_and_records),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
