/*
 * service.h: grpc.testing.TestService, as gRPC's interop-test-descriptions want it of a server.
 */
#ifndef INTEROP_SERVICE_H
#define INTEROP_SERVICE_H

#include "grpc/testing/test.farcall.h"

extern const struct grpc_testing_test_service interop_service;

#endif
