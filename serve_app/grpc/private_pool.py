"""A descriptor pool of our own, used by the generated modules in the place of ``google.protobuf.descriptor_pool``.

The default pool is one per process and refuses a second definition of a message. With ours kept apart, a process may
load these stubs beside TensorFlow's, Triton's or KServe's own.
"""

from functools import cache

from google.protobuf import any_pb2, wrappers_pb2
from google.protobuf.descriptor_pool import DescriptorPool


@cache
def Default() -> DescriptorPool:
    """The one pool of all our generated modules; it knows the well-known types that they import."""
    pool = DescriptorPool()
    for module in (any_pb2, wrappers_pb2):
        pool.AddSerializedFile(module.DESCRIPTOR.serialized_pb)
    return pool
