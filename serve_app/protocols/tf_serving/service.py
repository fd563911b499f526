"""TensorFlow Serving's gRPC API: ``PredictionService`` Predict and GetModelMetadata, ``ModelService`` GetModelStatus.

The classes are plain; whoever serves them gives each method the request, as the bytes that came, and a context, and
sends the code and details that the context holds when a method raises.
"""

import time
from collections.abc import Mapping, Sequence
from typing import NoReturn

import grpc  # type: ignore[import-untyped]
import numpy as np

from deployments.models.card import ModelCard, Task
from serve_app.analysis import AnalyzeOptions, AnalyzeRequest
from serve_app.grpc.call import CallRefused, GrpcContext, invalid, metadata_of, refusals, refuse_failures, request_id
from serve_app.grpc.wire import read
from serve_app.limits import Limits
from serve_app.pipeline import Pipeline
from serve_app.protocols.detections import AnswerTooLarge, columns, pictures
from serve_app.protocols.served_models import (
    IMAGES,
    LABEL,
    OTHER_NAMES_OF_IMAGES,
    PICTURE,
    SIGNATURE,
    ServedModel,
    served_models,
)
from serve_app.protocols.tf_serving.protos.tensorflow_pb2 import SignatureDef
from serve_app.protocols.tf_serving.protos.tensorflow_serving_pb2 import (
    GetModelMetadataRequest,
    GetModelMetadataResponse,
    GetModelStatusRequest,
    GetModelStatusResponse,
    ModelSpec,
    ModelVersionStatus,
    PredictRequest,
    PredictResponse,
    SignatureDefMap,
    StatusProto,
)
from serve_app.protocols.tf_serving.tensors import read_images, read_option, tensor_info, write_tensors
from serve_app.traceparent import well_formed

METHOD = "tensorflow/serving/predict"
MAX_QUESTION_BYTES = 1024 * 1024
"""Of a request that holds no image."""


class PredictionService:
    """``tensorflow.serving.PredictionService``."""

    def __init__(self, pipeline: Pipeline, limits: Limits) -> None:
        self._pipeline = pipeline
        self._limits = limits

    async def Predict(self, data: bytes, grpc_context: GrpcContext) -> PredictResponse:
        """Find what the model finds in ``inputs["images"]``; the outputs are those of ``ServedModel.outputs``."""
        arrived = time.time()
        with refusals(grpc_context):
            request = await read(PredictRequest, data, self._limits.max_body_bytes, self._pipeline)
            model = known_model(self._pipeline, request.model_spec)
            check_signature(request.model_spec)
            wanted = wanted_outputs(model, request.output_filter)
            name = check_inputs(model, request)
            options = self._options(model, request)
            try:
                images = await self._pipeline.on_thread(read_images, request.inputs[name], self._limits)
            except ValueError as error:
                refuse_input(name, error)
            metadata = metadata_of(grpc_context)
            asked = AnalyzeRequest(
                images,
                request_id=request_id(metadata),
                options=options,
                traceparent=well_formed(metadata.get("traceparent")),
                arrived=arrived,
            )
            return await self._answer(model, request.model_spec, wanted, asked)

    async def GetModelMetadata(self, data: bytes, grpc_context: GrpcContext) -> GetModelMetadataResponse:
        """A model's signature. DT_STRING stands for all kinds of ``images``; every other input may be left out."""
        with refusals(grpc_context):
            request = await read(GetModelMetadataRequest, data, MAX_QUESTION_BYTES, self._pipeline)
            model = known_model(self._pipeline, request.model_spec)
            if not request.metadata_field:
                raise invalid("metadata_field must name signature_def")
            for field in request.metadata_field:
                if field != "signature_def":
                    raise invalid(f"Metadata field {field[:100]} is not supported")
            signature = SignatureDef(
                inputs={name: tensor_info(name, spec) for name, spec in model.inputs().items()},
                outputs={name: tensor_info(name, spec) for name, spec in model.outputs().items()},
                method_name=METHOD,
            )
            response = GetModelMetadataResponse(model_spec=answered_spec(self._pipeline.cards, model, ""))
            response.metadata["signature_def"].Pack(SignatureDefMap(signature_def={SIGNATURE: signature}))
            return response

    def _options(self, model: ServedModel, request: PredictRequest) -> AnalyzeOptions:
        given = {}
        for name, spec in model.options().items():
            if name in request.inputs:
                try:
                    given[name] = read_option(request.inputs[name], spec)
                except ValueError as error:
                    refuse_input(name, error)
        try:
            return model.analyze_options(given, self._pipeline.labels)
        except ValueError as error:
            raise invalid(str(error)) from None

    async def _answer(
        self,
        model: ServedModel,
        spec: ModelSpec,
        wanted: list[str],
        request: AnalyzeRequest,
    ) -> PredictResponse:
        analysis = await self._pipeline.analyze(request)
        found = analysis.images
        refuse_failures([image.errors for image in found])
        try:
            made = await self._pipeline.on_thread(columns, model, found, analysis.labels, wanted)
            if PICTURE in wanted:
                made[PICTURE] = np.array(await pictures(self._pipeline, request, found), np.object_)
        except AnswerTooLarge as error:
            raise CallRefused(grpc.StatusCode.RESOURCE_EXHAUSTED, str(error)) from None
        return PredictResponse(
            outputs=await self._pipeline.on_thread(write_tensors, made),
            model_spec=answered_spec(analysis.cards, model, spec.signature_name or SIGNATURE),
        )


class ModelService:
    """``tensorflow.serving.ModelService``."""

    def __init__(self, pipeline: Pipeline) -> None:
        self._pipeline = pipeline

    async def GetModelStatus(self, data: bytes, grpc_context: GrpcContext) -> GetModelStatusResponse:
        """AVAILABLE where a replica answers, else LOADING."""
        with refusals(grpc_context):
            request = await read(GetModelStatusRequest, data, MAX_QUESTION_BYTES, self._pipeline)
            model = known_model(self._pipeline, request.model_spec)
            ready = [self._pipeline.branches[task].ready() for task in model.tasks]
            status = ModelVersionStatus(
                version=model.version(self._pipeline.cards),
                state="AVAILABLE" if all(ready) else "LOADING",
                status=StatusProto(error_code="OK"),
            )
            return GetModelStatusResponse(model_version_status=[status])


def known_model(pipeline: Pipeline, spec: ModelSpec) -> ServedModel:
    """The model that a ModelSpec names. Raises CallRefused for another name, version or label."""
    name = spec.name
    models = served_models(pipeline.branches)
    if not name:
        raise invalid(f"model_spec.name is missing; models: {', '.join(models)}")
    choice = spec.WhichOneof("version_choice")
    if name not in models:
        raise CallRefused(
            grpc.StatusCode.NOT_FOUND,
            f"Servable not found for request: Latest({name[:100]}); models: {', '.join(models)}",
        )
    version = models[name].version(pipeline.cards)
    if choice == "version" and spec.version.value != version:
        raise CallRefused(
            grpc.StatusCode.NOT_FOUND,
            f"Servable not found for request: Specific({name}, {spec.version.value}); its version is {version}",
        )
    if choice == "version_label" and spec.version_label != LABEL:
        raise invalid(f"Unrecognized servable version label: {spec.version_label[:100]}; the label is {LABEL}")
    return models[name]


def check_signature(spec: ModelSpec) -> None:
    """Raise CallRefused for a signature that there is not, with TensorFlow Serving's code."""
    if spec.signature_name not in ("", SIGNATURE):
        raise CallRefused(
            grpc.StatusCode.FAILED_PRECONDITION,
            f'Serving signature key "{spec.signature_name[:100]}" not found; the signature is {SIGNATURE}',
        )


def wanted_outputs(model: ServedModel, output_filter: Sequence[str]) -> list[str]:
    """The outputs to send: all of the model's without a filter. Raises CallRefused for others and for repeated ones."""
    known = list(model.outputs())
    for name in output_filter:
        if name not in known:
            raise invalid(f"output tensor alias not found in signature: {name[:100]}; outputs: {', '.join(known)}")
    if len(set(output_filter)) < len(output_filter):
        raise invalid("output_filter has a duplicate output tensor alias")
    return list(output_filter) or known


def check_inputs(model: ServedModel, request: PredictRequest) -> str:
    """The name of the images' input. Raises CallRefused where it is missing or another input is none of the model's."""
    known = model.inputs()
    names = [name for name in (IMAGES, *OTHER_NAMES_OF_IMAGES) if name in request.inputs]
    for name in request.inputs:
        if name not in known and name not in names[:1]:
            raise invalid(f"input tensor alias not found in signature: {name[:100]}; inputs: {', '.join(known)}")
    if not names:
        raise invalid(f"the input {IMAGES} is missing")
    return names[0]


def refuse_input(name: str, error: ValueError) -> NoReturn:
    """Raise CallRefused for what is wrong with an input."""
    raise invalid(f"input {name}: {error}") from None


def answered_spec(cards: Mapping[Task, ModelCard], model: ServedModel, signature: str) -> ModelSpec:
    """The ModelSpec of an answer that the models on ``cards`` gave."""
    version = model.version(cards)
    return ModelSpec(name=model.name, version={"value": version}, signature_name=signature)
