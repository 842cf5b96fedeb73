# Made by tools/stubs.py; do not edit.
from .schedule import Schedule as Schedule
from .schedule import linear as linear
from .schedule import cosine as cosine
from .gaussian import GaussianDiffusion as GaussianDiffusion
from .binomial import BinomialDiffusion as BinomialDiffusion
from .bound import vlb as vlb
from .estimate import vlb_estimate as vlb_estimate
from .likelihood import log_likelihood as log_likelihood
from .nets import MLP as MLP
from .nets import UNet as UNet
from .training import train as train
from .engine import fit as fit
from .keep import save_run as save_run
from .keep import load_run as load_run
from .sampling import sample as sample
from .sampling import ddpm as ddpm
from .sampling import ddim as ddim
from .solvers import heun as heun
from .solvers import dpmpp_2m as dpmpp_2m
from .solvers import unipc as unipc
from .data import digits as digits
from .data import swiss_roll as swiss_roll
from .data import heartbeat as heartbeat
from .show import show_images as show_images
from .show import show_points as show_points

__version__: str
