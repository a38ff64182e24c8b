/*
 * steps.c: the table of what is generated for a method, by its shape. The emitters and the check
 * for clashing names both read it, so a name that is emitted is a name that was checked.
 */
#include "plugin.h"

#define UNARY (1u << FARCALL_UNARY)
#define CLIENT (1u << FARCALL_CLIENT_STREAM)
#define SERVER (1u << FARCALL_SERVER_STREAM)
#define BIDI (1u << FARCALL_BIDI_STREAM)

const fc_step fc_steps[] = {
    /* the client's */
    {"", UNARY, FC_STEP_INVOKE, FC_REQUEST, FC_REPLY, true},
    {"__start", SERVER, FC_STEP_START, FC_REQUEST, FC_NOTHING, false},
    {"__start", CLIENT | BIDI, FC_STEP_START, FC_NOTHING, FC_NOTHING, false},
    {"__send_request", CLIENT | BIDI, FC_STEP_SEND, FC_REQUEST, FC_NOTHING, true},
    {"__recv_reply", SERVER | BIDI, FC_STEP_RECV, FC_NOTHING, FC_REPLY, true},
    {"__finish", SERVER | BIDI, FC_STEP_FINISH, FC_NOTHING, FC_NOTHING, true},
    {"__finish", CLIENT, FC_STEP_FINISH, FC_NOTHING, FC_REPLY, true},
    /* the server's */
    {"__recv_request", CLIENT | BIDI, FC_STEP_RECV, FC_NOTHING, FC_REQUEST, true},
    {"__send_reply", SERVER | BIDI, FC_STEP_SEND, FC_REPLY, FC_NOTHING, true},
    {"__send_reply", UNARY | CLIENT, FC_STEP_COMPLETE, FC_REPLY, FC_NOTHING, false},
};

const size_t fc_n_steps = FC_COUNT(fc_steps);

const char *
fc_carried(const fc_method *method, fc_carries carries)
{
	return carries == FC_REQUEST ? method->request : carries == FC_REPLY ? method->reply : NULL;
}
