"""What the full variational bound costs beside its bare network passes, and a loop over t for comparison, in one process.

    python bench/bound.py
"""
import statistics
import time

import torch
from dpm_nb.bound import path_bound, vlb
from dpm_nb.data import digits
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import UNet
from dpm_nb.schedule import cosine

T, BATCH, ROUNDS = 200, 1024, 5
device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
x0 = digits(train=False)[0][:100].to(device)
d = GaussianDiffusion(cosine(T), "v", "posterior")
torch.manual_seed(0)
net = UNet(channels=1, widths=(32, 64)).to(device).eval()
states, times = torch.randn(BATCH, 1, 8, 8, device=device), torch.randint(1, T+1, (BATCH,), device=device)


def wait():
    if device.type == "cuda": torch.cuda.synchronize()


@torch.no_grad()
def bare():
    "As many calls of the network as the bound makes, of the same sizes."
    for n in [BATCH]*((T-1)*len(x0)//BATCH) + [(T-1)*len(x0) % BATCH, len(x0)]: net(states[:n], times[:n])


def main():
    ways = {"bare passes": bare, "vlb": lambda: vlb(d, net, x0, batch=BATCH), "path_bound": lambda: path_bound(d, net, x0)}
    taken = {name: [] for name in ways}
    for name, way in ways.items(): way()
    for _ in range(ROUNDS):                                     # in turn, so that a busy moment hits all alike
        for name, way in ways.items():
            wait(); start = time.perf_counter()
            way()
            wait(); taken[name].append(time.perf_counter() - start)
    least = min(taken["bare passes"])
    print(f"{device.type}, {torch.get_num_threads()} threads, T = {T}, {len(x0)} pictures of 8 x 8")
    for name, t in taken.items(): print(f"{name:>12}: {statistics.median(t):6.2f} s (fastest {min(t):.2f}, {min(t)/least:.3f} of the bare passes)")


if __name__ == "__main__": main()
