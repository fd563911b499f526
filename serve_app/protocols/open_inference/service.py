"""The Open Inference Protocol V2 over gRPC: ``inference.GRPCInferenceService``, as Triton and KServe speak it.

https://github.com/kserve/open-inference-protocol/blob/main/specification/protocol/inference_grpc.md

The class is plain; whoever serves it gives each method the request, as the bytes that came, and a context, and sends
the code and details that the context holds when a method raises.
"""

import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import asdict
from functools import wraps
from typing import Any, TypeVar

import grpc  # type: ignore[import-untyped]
from google.protobuf.message import Message

from serve_app.grpc.call import CODE_OF_FAILURE, RETRIED, CallRefused, GrpcContext, metadata_of, refusals, request_id
from serve_app.grpc.wire import read
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.open_inference.inference import (
    EXTENSIONS,
    INPUT,
    PLATFORM,
    SERVER_NAME,
    SERVER_VERSION,
    InferenceError,
    InferRequest,
    OpenInference,
    Parameter,
    bad_input,
    check_tensor_parameters,
)
from serve_app.protocols.open_inference.protos import open_inference_pb2 as pb
from serve_app.protocols.open_inference.tensors import (
    IMAGES,
    Image,
    Tensor,
    TensorSpec,
    images_from_raw,
    images_from_values,
    output_specs,
)
from serve_app.traceparent import well_formed

CODES = {
    **CODE_OF_FAILURE,
    "bad_request": grpc.StatusCode.INVALID_ARGUMENT,
    "not_found": grpc.StatusCode.NOT_FOUND,
    "answer_too_large": grpc.StatusCode.RESOURCE_EXHAUSTED,
}
CONTENTS = {"BYTES": "bytes_contents", "FP32": "fp32_contents", "INT64": "int64_contents", "UINT8": "uint_contents"}

Q = TypeVar("Q", bound=Message)
A = TypeVar("A", bound=Message)
Method = Callable[["OpenInferenceService", Any, GrpcContext], Awaitable[A]]
Served = Callable[["OpenInferenceService", bytes, GrpcContext], Awaitable[A]]


def served(kind: type[Q]) -> Callable[[Method[A]], Served[A]]:
    """A method that takes the bytes of a request of this kind; what is refused is written to the context and raised."""

    def decorate(method: Method[A]) -> Served[A]:
        @wraps(method)
        async def answer(self: "OpenInferenceService", request: bytes, grpc_context: GrpcContext) -> A:
            with refusals(grpc_context):
                try:
                    parsed = await read(kind, request, self.service.limits.max_body_bytes, self.service.pipeline)
                    return await method(self, parsed, grpc_context)
                except InferenceError as error:
                    retry_after_s = 1 if error.code in RETRIED else None
                    raise CallRefused(CODES[error.code], error.message, retry_after_s) from None

        return answer

    return decorate


class OpenInferenceService:
    """``inference.GRPCInferenceService``. Its statistics are those of gRPC calls to this ingress replica."""

    def __init__(self, pipeline: Pipeline, limits: Limits) -> None:
        self.service = OpenInference(pipeline, limits)

    @served(pb.ServerLiveRequest)
    async def ServerLive(self, request: pb.ServerLiveRequest, grpc_context: GrpcContext) -> pb.ServerLiveResponse:
        """True."""
        return pb.ServerLiveResponse(live=True)

    @served(pb.ServerReadyRequest)
    async def ServerReady(self, request: pb.ServerReadyRequest, grpc_context: GrpcContext) -> pb.ServerReadyResponse:
        """Whether a replica of each task answers."""
        return pb.ServerReadyResponse(ready=self.service.ready())

    @served(pb.ModelReadyRequest)
    async def ModelReady(self, request: pb.ModelReadyRequest, grpc_context: GrpcContext) -> pb.ModelReadyResponse:
        """Whether a replica of each of the model's tasks answers."""
        self.service.version(request.name, request.version)
        return pb.ModelReadyResponse(ready=self.service.ready(request.name))

    @served(pb.ServerMetadataRequest)
    async def ServerMetadata(
        self, request: pb.ServerMetadataRequest, grpc_context: GrpcContext
    ) -> pb.ServerMetadataResponse:
        """Name, version, extensions."""
        return pb.ServerMetadataResponse(name=SERVER_NAME, version=SERVER_VERSION, extensions=EXTENSIONS)

    @served(pb.ModelMetadataRequest)
    async def ModelMetadata(
        self, request: pb.ModelMetadataRequest, grpc_context: GrpcContext
    ) -> pb.ModelMetadataResponse:
        """Inputs and outputs, as ``open_inference_tensors.output_specs`` describes them."""
        version = self.service.version(request.name, request.version)
        return pb.ModelMetadataResponse(
            name=request.name,
            versions=[version],
            platform=PLATFORM,
            inputs=[_tensor_metadata(INPUT, IMAGES)],
            outputs=[
                _tensor_metadata(name, spec) for name, spec in output_specs(self.service.models[request.name]).items()
            ],
            properties=self.service.properties(request.name),
        )

    @served(pb.ModelInferRequest)
    async def ModelInfer(self, request: pb.ModelInferRequest, grpc_context: GrpcContext) -> pb.ModelInferResponse:
        """Analyse the images. Outputs are raw unless the input came in ``contents``; then they do, too."""
        arrived = time.time()
        self.service.version(request.model_name, request.model_version)
        on_thread = self.service.pipeline.on_thread
        names = [output.name for output in request.outputs]
        for output in request.outputs:
            check_tensor_parameters(output.parameters, f"output {output.name[:100]!r}")
        metadata = metadata_of(grpc_context)
        infer = InferRequest(
            request.model_name,
            await on_thread(read_images, request, self.service),
            names,
            read_parameters(request),
            request_id(metadata),
            well_formed(metadata.get("traceparent")),
            arrived,
            request.model_version,
        )
        version, tensors = await self.service.infer(infer)
        raw = bool(request.raw_input_contents)
        response = pb.ModelInferResponse(model_name=request.model_name, model_version=version, id=request.id)
        await on_thread(write_outputs, response, tensors, raw)
        return response

    @served(pb.ModelConfigRequest)
    async def ModelConfig(self, request: pb.ModelConfigRequest, grpc_context: GrpcContext) -> pb.ModelConfigResponse:
        """The part of Triton's configuration that tells clients what to send."""
        self.service.version(request.name, request.version)
        outputs = output_specs(self.service.models[request.name]).items()
        config = pb.ModelConfig(
            name=request.name,
            platform=PLATFORM,
            input=[pb.ModelInput(name=INPUT, data_type=IMAGES.config_type, dims=IMAGES.shape)],
            output=[pb.ModelOutput(name=name, data_type=s.config_type, dims=s.shape) for name, s in outputs],
        )
        return pb.ModelConfigResponse(config=config)

    @served(pb.ModelStatisticsRequest)
    async def ModelStatistics(
        self, request: pb.ModelStatisticsRequest, grpc_context: GrpcContext
    ) -> pb.ModelStatisticsResponse:
        """Of one model, or of all without a name."""
        response = pb.ModelStatisticsResponse()
        for name, statistics in self.service.statistics(request.name, request.version).items():
            numbers = asdict(statistics)
            counts = {key: numbers.pop(key) for key in ("last_inference", "inference_count", "execution_count")}
            response.model_stats.add(
                name=name, version=self.service.version(name), inference_stats=pb.InferStatistics(**numbers), **counts
            )
        return response

    @served(pb.RepositoryIndexRequest)
    async def RepositoryIndex(
        self, request: pb.RepositoryIndexRequest, grpc_context: GrpcContext
    ) -> pb.RepositoryIndexResponse:
        """The models; where ``ready`` is set only those that are ready."""
        response = pb.RepositoryIndexResponse()
        for name, state in (self.service.states()).items():
            if state == "READY" or not request.ready:
                response.models.add(name=name, version=self.service.version(name), state=state)
        return response


def read_images(request: pb.ModelInferRequest, service: OpenInference) -> list[Image]:
    """The images of the one input. Raises InferenceError."""
    if len(request.inputs) != 1:
        message = f"expected 1 input but got {len(request.inputs)} inputs for model {request.model_name}"
        raise InferenceError("bad_request", f"{message}; its input is {INPUT}")
    tensor = request.inputs[0]
    shape = list(tensor.shape)
    service.check_input(request.model_name, tensor.name, tensor.datatype, shape)
    check_tensor_parameters(tensor.parameters, f"input {INPUT}")
    given = tensor.contents.ListFields()
    try:
        if request.raw_input_contents:
            if len(request.raw_input_contents) != 1 or given:
                raise ValueError("there must be one entry of raw_input_contents, and then no contents")
            return images_from_raw(tensor.datatype, shape, memoryview(request.raw_input_contents[0]))
        wanted = CONTENTS[tensor.datatype]
        if [field.name for field, _ in given] != [wanted]:
            raise ValueError(f"{tensor.datatype} must come in raw_input_contents, or in {wanted} of contents alone")
        return images_from_values(tensor.datatype, shape, getattr(tensor.contents, wanted))
    except ValueError as error:
        raise bad_input(error) from None


def read_parameters(request: pb.ModelInferRequest) -> dict[str, Parameter]:
    """The request's parameters. Raises InferenceError for one without a value."""
    parameters = {}
    for name, parameter in request.parameters.items():
        choice = parameter.WhichOneof("parameter_choice")
        if choice is None:
            raise InferenceError("bad_request", f"parameter {name[:100]!r} has no value")
        parameters[name] = getattr(parameter, choice)
    return parameters


def write_outputs(response: pb.ModelInferResponse, tensors: Sequence[Tensor], raw: bool) -> None:
    """Add the outputs to a response, as raw contents or in ``contents``."""
    for tensor in tensors:
        output = response.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
        if raw:
            response.raw_output_contents.append(tensor.raw())
        else:
            values = tensor.values if isinstance(tensor.values, list) else tensor.values.reshape(-1).tolist()
            getattr(output.contents, CONTENTS[tensor.datatype]).extend(values)


def _tensor_metadata(name: str, spec: TensorSpec) -> pb.ModelMetadataResponse.TensorMetadata:
    return pb.ModelMetadataResponse.TensorMetadata(name=name, datatype=spec.datatype, shape=spec.shape)
