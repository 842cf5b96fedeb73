"""What the full variational bound costs beside its bare network passes, and a loop over t for comparison.

    python bench/bound.py
"""
import torch
from dpm_nb.bound import path_bound, vlb
from dpm_nb.data import digits
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import UNet
from dpm_nb.schedule import cosine
from rounds import ROUNDS, device, rounds, row, show


def rows(short=False):
    T, B, n = (5, 16, 4) if short else (200, 1024, 50)
    x0 = digits(train=False)[0][:n].to(device)
    d = GaussianDiffusion(cosine(T), "v", "posterior")
    torch.manual_seed(0)
    net = UNet(channels=1, widths=(32, 64)).to(device).eval()
    states, times = torch.randn(B, 1, 8, 8, device=device), torch.randint(1, T+1, (B,), device=device)

    @torch.no_grad()
    def bare():
        "As many calls of the network as the bound makes, of the same sizes."
        for m in [B]*((T-1)*n//B) + [(T-1)*n % B, n]: net(states[:m], times[:m])

    ways = {"vlb": lambda: vlb(d, net, x0, batch=B), "bare passes": bare, "path_bound": lambda: path_bound(d, net, x0)}
    taken = rounds(ways, 1 if short else ROUNDS)
    return [row(f"the bound of {n} pictures of 8 × 8, T = {T}", taken, ["bare passes"], round(1/1.10, 3))]


if __name__ == "__main__": show(rows())
