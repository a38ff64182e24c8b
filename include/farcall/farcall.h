/*
 * farcall/farcall.h: all of it, but for farcall/uv.h.
 */
#ifndef FARCALL_FARCALL_H
#define FARCALL_FARCALL_H

#include <farcall/alloc.h>
#include <farcall/call.h>
#include <farcall/channel.h>
#include <farcall/code.h>
#include <farcall/interceptor.h>
#include <farcall/interface.h>
#include <farcall/log.h>
#include <farcall/loop.h>
#include <farcall/raw.h>
#include <farcall/rich.h>
#include <farcall/server.h>

#endif
