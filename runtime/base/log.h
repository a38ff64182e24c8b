/*
 * log.h: one line to the program's log. Text of peers is escaped: bytes outside 0x20..0x7e become
 * \xNN.
 */
#ifndef FC_BASE_LOG_H
#define FC_BASE_LOG_H

#include <farcall/log.h>

void fc_log(farcall_log_level level, const char *format, ...) FARCALL_PRINTF(2, 3);

#endif
