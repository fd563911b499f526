"""Descriptions of our services for those who ask a server what it serves, such as grpcurl."""

from typing import Any

from google.protobuf import descriptor_pb2, descriptor_pool


def describe(file: Any) -> None:
    """Add a file's descriptor, and what it imports, to the process's default pool, from which Serve's servers answer.

    For processes that only pass messages on: beside TensorFlow's own stubs the names would be taken.
    """
    pool = descriptor_pool.Default()
    for dependency in file.dependencies:
        describe(dependency)
    try:
        pool.FindFileByName(file.name)
    except KeyError:
        proto = descriptor_pb2.FileDescriptorProto()
        file.CopyToProto(proto)
        pool.Add(proto)
