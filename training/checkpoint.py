"""Training state on disk: safetensors and JSON, so that a killed training goes on exactly where it was and nothing is
unpickled."""

from __future__ import annotations

import json
from pathlib import Path

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from SlicerHPOLib.files import replacing


def save_checkpoint(path: str | Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer, state: dict) -> None:
    """Write network, optimizer and `state` (JSON) to one file, atomically."""
    tensors = {f"network.{name}": t.detach().clone().contiguous() for name, t in network.state_dict().items()}
    for index, values in optimizer.state_dict()["state"].items():
        tensors |= {
            f"optimizer.{index}.{key}": torch.as_tensor(value).clone().contiguous() for key, value in values.items()
        }
    with replacing(path) as temporary:
        save_file(tensors, temporary, metadata={"state": json.dumps(state)})


def load_checkpoint(path: str | Path, network: torch.nn.Module, optimizer: torch.optim.Optimizer | None = None) -> dict:
    """Restore the network, and the optimizer if given; returns `state`. Raises ValueError if the file is of another
    network."""
    tensors, state = _tensors(path)
    try:
        network.load_state_dict(_of_network(tensors))
    except RuntimeError as error:
        raise ValueError(f"The checkpoint {path} is of another network: {error}") from None
    if optimizer is None:
        return state
    restored = optimizer.state_dict()
    restored["state"] = {}
    for name, tensor in tensors.items():
        if name.startswith("optimizer."):
            _, index, key = name.split(".", 2)
            restored["state"].setdefault(int(index), {})[key] = tensor
    optimizer.load_state_dict(restored)
    return state


def read_checkpoint(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    """The network's weights by name, and `state`."""
    tensors, state = _tensors(path)
    return _of_network(tensors), state


def _tensors(path: str | Path) -> tuple[dict[str, torch.Tensor], dict]:
    with safe_open(path, "pt") as file:
        tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (not a dict)
        return tensors, json.loads(file.metadata()["state"])


def _of_network(tensors: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    return {name.removeprefix("network."): t for name, t in tensors.items() if name.startswith("network.")}
