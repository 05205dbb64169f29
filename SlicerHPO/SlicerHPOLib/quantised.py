"""Weights in a byte each: a quarter of float32, for models that travel.

A tensor w of a layer with c outputs (c, ...) becomes q = round(w / s) in -127 ... 127, with one step s for each output,
so that the largest weight of an output is 127 steps; then |w - s q| <= s / 2. In a file, q has the tensor's name and s
the name with `.step` behind it. What is small (biases, normalisations) stays in float16.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch

STEP = ".step"
LEVELS = 127
SMALLEST = 4096  # numbers of a tensor that is worth it


def quantised(tensors: Mapping[str, torch.Tensor], fine: Collection[str] = ()) -> dict[str, torch.Tensor]:
    """Floating-point tensors as int8 with their steps (float32), the small ones as float16; other types as they are.

    Args:
        fine: names of tensors that a byte is too coarse for, as of a distance in mm; float16 too.
    """
    import torch

    found = {}
    for name, tensor in tensors.items():
        if not tensor.is_floating_point():
            found[name] = tensor
        elif tensor.ndim < 2 or tensor.numel() < SMALLEST or name in fine:
            found[name] = tensor.half()
        else:
            rows = tensor.float().flatten(1)
            steps = rows.abs().amax(1).clamp(min=torch.finfo(torch.float32).tiny) / LEVELS
            found[name] = (rows / steps[:, None]).round().to(torch.int8).reshape(tensor.shape)
            found[name + STEP] = steps
    return found


def restored(tensors: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """The tensors of `quantised` by their names, floating-point ones as float32.

    Raises:
        ValueError: steps without a tensor of bytes, or not one for each of its rows.
    """
    import torch

    found = {}
    for name, tensor in tensors.items():
        steps = tensors.get(name + STEP)
        if steps is not None:
            if tensor.dtype != torch.int8 or not tensor.ndim or steps.shape != tensor.shape[:1]:
                raise ValueError(
                    f"tensor {name!r} is {tensor.dtype} of shape {tuple(tensor.shape)} with steps of shape "
                    f"{tuple(steps.shape)}; expected int8 and one step for each row"
                )
            found[name] = tensor.float() * steps.float().reshape(-1, *[1] * (tensor.ndim - 1))
        elif name.removesuffix(STEP) == name:
            found[name] = tensor.float() if tensor.is_floating_point() else tensor
        elif name.removesuffix(STEP) not in tensors:
            raise ValueError(f"{name!r} has no tensor")
    return found
