import pytest
import torch

from deployments.models.exported.operators import REFUSED, find_operator


@pytest.mark.parametrize(
    "target",
    [
        "torch.ops.aten.conv2d.default",
        "torch.ops.torchvision.nms.default",
        "_operator.mul",
        "torch.sym_max",
        "math.trunc",
    ],
)
def test_what_computes_is_found(target: str) -> None:
    assert callable(find_operator(target))


@pytest.mark.parametrize(
    "target",
    [
        "torch.os.system",
        "torch.hub.load",
        "torch.load",
        "torch.ops.load_library",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.image.write_file.default",
        "torch.ops.aten.conv2d.__class__",
        "torch.ops.aten.__class__.mro",
        "torch.ops.aten.conv2d",
        "torch.ops.aten.nothing.default",
        "torch.ops.aten.conv2d.default.redispatch",
        "_operator.attrgetter",
        "_operator.methodcaller",
        "_operator.setitem",
        "math.__loader__.load_module",
        "#namespace:op",
        "",
    ],
)
def test_what_does_more_is_refused_by_name(target: str) -> None:
    with pytest.raises(ValueError, match=r"not one of the operators that it may call$") as caught:
        find_operator(target)
    assert target in str(caught.value)


def test_a_block_under_no_grad_is_refused_with_a_hint() -> None:
    with pytest.raises(ValueError, match=r"exporting under torch\.no_grad\(\) may avoid it"):
        find_operator("torch.ops.higher_order.wrap_with_set_grad_enabled")


def test_every_operator_that_takes_a_file_is_refused() -> None:
    takes_file = {
        schema.name
        for schema in torch._C._jit_get_all_schemas()
        if schema.name.startswith(("aten::", "torchvision::"))
        and any("str" in str(argument.type) and "file" in argument.name for argument in schema.arguments)
    }
    assert takes_file
    assert takes_file <= REFUSED
