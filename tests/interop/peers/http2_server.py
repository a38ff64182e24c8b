"""An HTTP/2 server on python's h2 that misbehaves, by gRPC's negative-http2-interop-test-descriptions: CASE.

It serves UnaryCall on one connection after the other until the client goes, then judges what it saw: exits with 0 if
that was as the case wants. Prints where it listens.
"""
import socket
import struct
import sys

import h2.config
import h2.connection
import h2.events
import h2.exceptions
import h2.settings

import messages

HEAD = [(":status", "200"), ("content-type", "application/grpc"), ("grpc-encoding", "identity")]
TRAILER = [("grpc-status", "0")]
CHUNK = 8192


class Failed(Exception):
    """The client did what the case forbids."""


class Server:
    """The well-behaved one; cases change it."""

    connections = 1
    calls = 1
    padding = None
    chunk = CHUNK

    def __init__(self):
        self.paths = 0
        self.seen = []  # (connection, stream) of each request
        self.pings = 0

    # ---- what cases change ----

    def on_connect(self):
        pass

    def on_request(self, stream):
        """The whole request is there."""
        self.answer(stream)

    def before_data(self, stream):
        pass

    def after_data(self, stream):
        pass

    def most_data(self, data):
        return data

    def judge(self):
        if len(self.seen) != self.calls:
            raise Failed(f"{len(self.seen)} calls instead of {self.calls}")

    # ---- the rest ----

    def send(self):
        self.socket.sendall(self.h2.data_to_send())

    def answer(self, stream):
        self.h2.send_headers(stream, HEAD)
        self.before_data(stream)
        response = messages.SimpleResponse(payload=self.wanted(stream))
        data = response.SerializeToString()
        self.left[stream] = self.most_data(struct.pack("!BI", 0, len(data)) + data)
        self.pour()

    def wanted(self, stream):
        body = bytes(self.bodies[stream])
        flags, size = struct.unpack("!BI", body[:5])
        if flags != 0 or size != len(body) - 5:
            raise Failed(f"a message of {len(body)} bytes says {size}, flags {flags}")
        request = messages.SimpleRequest.FromString(body[5:])
        if request.payload.body != bytes(271828) or request.response_size != 314159:
            raise Failed("not the large unary request")
        return messages.Payload(body=bytes(request.response_size))

    def pour(self):
        """Sends what the windows allow; the end when all has been sent."""
        extra = 0 if self.padding is None else self.padding + 1
        for stream in list(self.left):
            while self.left[stream]:
                room = min(self.h2.local_flow_control_window(stream) - extra, self.chunk)
                if room <= 0:
                    break
                self.h2.send_data(stream, self.left[stream][:room], pad_length=self.padding)
                self.left[stream] = self.left[stream][room:]
            if not self.left[stream]:
                del self.left[stream]
                self.after_data(stream)
                if stream in self.bodies:
                    self.h2.send_headers(stream, TRAILER, end_stream=True)
                    self.closed(stream)

    def closed(self, stream):
        self.bodies.pop(stream, None)

    def reset(self, stream):
        self.h2.reset_stream(stream, error_code=0)
        self.closed(stream)

    def on_event(self, event):
        if isinstance(event, h2.events.RequestReceived):
            self.seen.append((self.connection, event.stream_id))
            self.bodies[event.stream_id] = bytearray()
            if dict(event.headers)[b":path"] != b"/grpc.testing.TestService/UnaryCall":
                raise Failed(f"not UnaryCall: {event.headers}")
        elif isinstance(event, h2.events.DataReceived):
            if event.stream_id in self.bodies:
                self.bodies[event.stream_id] += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
        elif isinstance(event, h2.events.StreamEnded) and event.stream_id in self.bodies:
            self.on_request(event.stream_id)
        elif isinstance(event, h2.events.WindowUpdated):
            self.pour()
        elif isinstance(event, h2.events.PingAckReceived):
            self.pings -= 1
        elif isinstance(event, h2.events.StreamReset):
            self.left.pop(event.stream_id, None)
            self.closed(event.stream_id)

    def serve(self, connection):
        self.socket, self.left, self.bodies = connection, {}, {}
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=False))
        self.h2.initiate_connection()
        self.on_connect()
        self.send()
        while data := connection.recv(65536):
            for event in self.h2.receive_data(data):
                self.on_event(event)
            self.send()

    def run(self):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            print("listens on ipv4:127.0.0.1:%d" % listener.getsockname()[1], flush=True)
            for self.connection in range(self.connections):
                connection, _ = listener.accept()
                connection.settimeout(30)
                with connection:
                    self.serve(connection)
        self.judge()


class Goaway(Server):
    """The first answer goes with a GOAWAY that its stream is the last of: the second call needs a new connection."""

    connections = 2
    calls = 2

    def on_request(self, stream):
        if self.connection == 0:
            self.h2.close_connection(last_stream_id=stream)
            # h2 holds that all is over now; gRPC lets calls below the last stream end.
            self.h2.state_machine.state = h2.connection.ConnectionState.CLIENT_OPEN
        self.answer(stream)

    def judge(self):
        answered = [connection for connection, _ in self.seen]
        if answered.count(1) != 1 or answered.count(0) < 1:
            raise Failed(f"calls came on connections {answered}")


class MaxStreams(Server):
    """h2 itself refuses a second stream at a time, once the client has acknowledged the setting."""

    calls = 11

    def on_connect(self):
        self.h2.update_settings({h2.settings.SettingCodes.MAX_CONCURRENT_STREAMS: 1})


class Ping(Server):
    def ping(self):
        self.h2.ping(bytes([self.paths] * 8))
        self.paths += 1
        self.pings += 1

    def answer(self, stream):
        self.ping()
        super().answer(stream)

    def before_data(self, stream):
        self.ping()

    def after_data(self, stream):
        self.ping()

    def judge(self):
        super().judge()
        if self.pings != 0 or self.paths < 3:
            raise Failed(f"{self.pings} of {self.paths} pings were not acknowledged")


class RstAfterHeader(Server):
    def answer(self, stream):
        self.h2.send_headers(stream, HEAD)
        self.reset(stream)


class RstDuringData(Server):
    def most_data(self, data):
        return data[:len(data) // 2]

    def after_data(self, stream):
        self.reset(stream)


class RstAfterData(Server):
    def after_data(self, stream):
        self.reset(stream)


class Padding(Server):
    """Five bytes of data in frames of 261: windows must count the padding, and come back for it."""

    calls = 1
    padding = 255
    chunk = 100


CASES = {
    "goaway": Goaway,
    "max_streams": MaxStreams,
    "ping": Ping,
    "rst_after_header": RstAfterHeader,
    "rst_during_data": RstDuringData,
    "rst_after_data": RstAfterData,
    "data_frame_padding": Padding,
    "no_df_padding_sanity_test": Server,
}


def main():
    try:
        CASES[sys.argv[1]]().run()
    except (Failed, h2.exceptions.H2Error, OSError) as error:
        sys.exit(f"http2_server: {sys.argv[1]}: {type(error).__name__}: {error}")


main()
