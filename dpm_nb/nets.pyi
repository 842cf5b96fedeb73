# Made by tools/stubs.py; do not edit.
from typing import Any
from typing import TypeAlias
from torch import Tensor
from fastcore.basics import patch
from torch import nn
from .checks import Visit

def check_times(name: str, t: Any, visit: Visit) -> Tensor: ...
Times: TypeAlias = Tensor
def time_embedding(t: Tensor, dim: int, slowest: float=10000.0) -> Tensor: ...
def zero_init(layer: nn.Module) -> nn.Module: ...
class Label(nn.Embedding):

    def __init__(self, classes: int, c_time: int) -> None: ...
    def forward(self, y: Tensor | None) -> Tensor: ...
def code_of(net: nn.Module, x: Tensor, t: Tensor, y: Tensor | None) -> Tensor: ...
def check_classes(name: str, y: Any, visit: Visit) -> Tensor: ...
Classes: TypeAlias = Tensor
class Waves(nn.Module):

    def __init__(self, dim: int, waves: int=32) -> None: ...
    def forward(self, x: Tensor) -> Tensor: ...
class MLP(nn.Module):
    recipe: Any
    dim: int
    width: Any
    classes: int | None
    time: Any
    first: Any
    layers: Any
    last: Any
    gate: Any
    waves: Any
    label: Any

    def __init__(self, dim: int, width: int=128, depth: int=3, out: int | None=None, classes: int | None=None, waves: int=32) -> None: ...
    def forward(self, x: Tensor, t: Tensor, y: Tensor | None=None) -> Tensor: ...
class ResBlock(nn.Module):
    norm1: Any
    norm2: Any
    conv1: Any
    conv2: Any
    film: Any

    def __init__(self, c: int, c_time: int, groups: int=8) -> None: ...
    def forward(self, x: Tensor, code: Tensor) -> Tensor: ...
class Attention(nn.Module):
    heads: int
    norm: Any
    qkv: Any
    out: Any

    def __init__(self, c: int, heads: int=4, groups: int=8) -> None: ...
    def forward(self, x: Tensor, code: Tensor | None=None) -> Tensor: ...
class Blocks(nn.ModuleList):

    def __init__(self, c: int, c_time: int, n: int, attend: bool) -> None: ...
    def forward(self, x: Tensor, code: Tensor) -> Tensor: ...
class Stage(nn.Module):
    before: Any
    inner: Any
    down: Any
    up: Any
    after: Any

    def __init__(self, widths: tuple[int, ...], c_time: int, n: int, attention: list[bool]) -> None: ...
    def forward(self, x: Tensor, code: Tensor) -> Tensor: ...
def check_sizes(name: str, value: Any, visit: Visit | None=None, least: int=1, fewest: int=1) -> tuple[int, ...]: ...
Widths: TypeAlias = tuple[int, ...]
Places: TypeAlias = tuple[int, ...]
class UNet(nn.Module):
    recipe: Any
    channels: int
    classes: int | None
    patch: int
    time: Any
    first: Any
    stage: Any
    last: Any
    label: Any

    def __init__(self, channels: int=1, widths: tuple[int, ...]=..., blocks: int=1, attention: tuple[int, ...]=..., out: int | None=None, classes: int | None=None, patch: int=1) -> None: ...
    def forward(self, x: Tensor, t: Tensor, y: Tensor | None=None) -> Tensor: ...
class Guided(nn.Module):
    model: Any
    guidance: float
    classes: Any

    def __init__(self, model: Any, guidance: float) -> None: ...
    def forward(self, x: Tensor, t: Tensor, y: Tensor | None=None) -> Tensor: ...
def guided(model: Any, guidance: float) -> Any: ...
