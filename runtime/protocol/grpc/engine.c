/*
 * engine.c: the table that is all of this that other floors see: gRPC over HTTP/2 behind
 * protocol.h.
 *
 * Beyond the contract there: due() is 0 (at once) when a downward call, output() or wrote() has
 * left an event to be raised; so look at due() at the end of the turn.
 */
#include "runtime/protocol/grpc/grpc.h"

const fc_engine_ops fc_h2_engine = {
    .name = "h2",
    .open = fc_h2_open,
    .free = fc_h2_free,
    .input = fc_h2_input,
    .end = fc_h2_end,
    .due = fc_h2_due,
    .tick = fc_h2_tick,
    .output = fc_h2_output,
    .wrote = fc_h2_wrote,
    .congested = fc_h2_congested,
    .backlog = fc_h2_backlog,
    .open_stream = fc_grpc_open,
    .can_open = fc_grpc_can_open,
    .refusal = fc_grpc_refusal,
    .used_up = fc_grpc_used_up,
    .send_head = fc_grpc_send_head,
    .send_message = fc_grpc_send_message,
    .half_close = fc_grpc_half_close,
    .send_tail = fc_grpc_send_tail,
    .abort = fc_grpc_abort,
    .taken = fc_h2_taken,
    .release = fc_grpc_release,
    .drain = fc_h2_drain_start,
    .close = fc_h2_close,
};
