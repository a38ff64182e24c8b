"""An HTTP/2 client on python's h2 that pads every DATA frame of a large unary call, to --target=HOST:PORT.

Windows must count the padding, and come back for it: else the call stops for good. Exits with 0 if it was answered.
"""
import socket
import struct
import sys

import h2.config
import h2.connection
import h2.events

import messages

PADDING, CHUNK = 255, 100
HEADERS = [(":method", "POST"), (":scheme", "http"), (":path", messages.SERVICE + "UnaryCall"), (":authority", "localhost"),
           ("content-type", "application/grpc"), ("te", "trailers")]


class Client:
    def __init__(self, connection):
        request = messages.SimpleRequest(
            response_size=314159, payload=messages.Payload(body=bytes(271828))).SerializeToString()
        self.left = struct.pack("!BI", 0, len(request)) + request
        self.body, self.trailers, self.ended = bytearray(), {}, False
        self.socket = connection
        self.h2 = h2.connection.H2Connection(h2.config.H2Configuration(header_encoding="utf-8"))
        self.h2.initiate_connection()
        self.h2.send_headers(1, HEADERS)

    def pour(self):
        while self.left:
            room = min(self.h2.local_flow_control_window(1) - PADDING - 1, CHUNK)
            if room <= 0:
                return
            last = room >= len(self.left)
            self.h2.send_data(1, self.left[:room], pad_length=PADDING, end_stream=last)
            self.left = self.left[room:]

    def on_event(self, event):
        if isinstance(event, h2.events.DataReceived):
            self.body += event.data
            self.h2.acknowledge_received_data(event.flow_controlled_length, 1)
        elif isinstance(event, h2.events.TrailersReceived):
            self.trailers = dict(event.headers)
        elif isinstance(event, (h2.events.StreamEnded, h2.events.StreamReset)):
            self.ended = True

    def run(self):
        while not self.ended:
            self.pour()
            self.socket.sendall(self.h2.data_to_send())
            data = self.socket.recv(65536)
            if not data:
                sys.exit("http2_client: the server has closed the connection")
            for event in self.h2.receive_data(data):
                self.on_event(event)
        if self.trailers.get("grpc-status") != "0":
            sys.exit(f"http2_client: {self.trailers}")
        response = messages.SimpleResponse.FromString(bytes(self.body[5:]))
        if response.payload.body != bytes(314159):
            sys.exit("http2_client: not 314159 zeros")


def main():
    host, port = sys.argv[1].removeprefix("--target=").rsplit(":", 1)
    with socket.create_connection((host, int(port)), timeout=30) as connection:
        Client(connection).run()


main()
