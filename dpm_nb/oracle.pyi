# Made by tools/stubs.py; do not edit.
from typing import Any
from typing import TypeAlias
from torch import Tensor
from typing import NamedTuple
import torch
from .checks import Visit
from .data import Mixture
from .gaussian import GaussianDiffusion
from .oracle import Oracle

def bumps(data: Mixture | Tensor, weight: Tensor | None=None) -> tuple[Tensor, Tensor, Tensor]: ...
def check_known(name: str, data: Any, visit: Visit | None=None) -> Mixture | Tensor: ...
def check_shares(name: str, weight: Any, visit: Visit) -> Tensor: ...
Known: TypeAlias = Any
Shares: TypeAlias = Tensor
class Oracle:
    means: Any
    covs: Any
    d: GaussianDiffusion
    weight: Any
    dim: Any
    width: Any
    round: Any
    values: Any
    vectors: Any

    def __init__(self, d: GaussianDiffusion, data: Any, weight: Tensor | None=None) -> None: ...
    @property
    def schedule(self) -> Any: ...
    def __call__(self, xt: Tensor, t: Any) -> Tensor: ...
    def marginal(self, t: Any) -> Mixture: ...
    def x0(self, xt: Tensor, t: Any) -> Tensor: ...
def bump_mean(o: Oracle, x: Tensor, a: Tensor, b: Tensor) -> Tensor: ...
def round_mean(o: Oracle, x: Tensor, a: Tensor, b: Tensor) -> Tensor: ...
class Distance(NamedTuple):
    t: Tensor
    square: Tensor
    bits: Tensor
def check_oracle(name: str, oracle: Any, visit: Visit) -> Oracle: ...
def check_chosen(name: str, value: Any, visit: Visit) -> Tensor: ...
OracleOf: TypeAlias = Oracle
Chosen: TypeAlias = Any
def distance(d: GaussianDiffusion, model: Any, oracle: Oracle, x0: Tensor, y: Tensor | None=None, times: Any | None=None, generator: torch.Generator | None=None, batch: int=1024) -> Distance: ...
