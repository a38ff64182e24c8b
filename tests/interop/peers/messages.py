"""The messages of grpc.testing as Python classes, made of idl/ by protoc when this is imported.

Not by generated modules: theirs would be a package "grpc", which is grpcio's own name.
"""
import pathlib
import subprocess
import tempfile

from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

IDL = pathlib.Path(__file__).resolve().parents[3] / "idl"
SERVICE = "/grpc.testing.TestService/"


def _load():
    with tempfile.NamedTemporaryFile() as out:
        subprocess.run(["protoc", "-I", str(IDL), "--include_imports",
                        "--descriptor_set_out=" + out.name, "grpc/testing/test.proto"], check=True)
        files = descriptor_pb2.FileDescriptorSet.FromString(out.read())
    pool = descriptor_pool.DescriptorPool()
    for file in files.file:
        pool.Add(file)
    # The first is protobuf 4's; the other one went with protobuf 5.
    make = getattr(message_factory, "GetMessageClass", None)
    if make is None:
        make = message_factory.MessageFactory(pool).GetPrototype
    for file in files.file:
        for message in file.message_type:
            yield message.name, make(pool.FindMessageTypeByName("grpc.testing." + message.name))


globals().update(_load())

# method: (request, response, the request is a stream, the response is)
METHODS = {
    "EmptyCall": ("Empty", "Empty", False, False),
    "UnaryCall": ("SimpleRequest", "SimpleResponse", False, False),
    "CacheableUnaryCall": ("SimpleRequest", "SimpleResponse", False, False),
    "StreamingOutputCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", False, True),
    "StreamingInputCall": ("StreamingInputCallRequest", "StreamingInputCallResponse", True, False),
    "FullDuplexCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", True, True),
    "HalfDuplexCall": ("StreamingOutputCallRequest", "StreamingOutputCallResponse", True, True),
}


def classes(method):
    request, response, _, _ = METHODS[method]
    return globals()[request], globals()[response]
