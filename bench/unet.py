"""A training step of one U-Net on pictures of 28 x 28: `train`, and the loops of diffusers' and smalldiffusion's examples.

    python bench/unet.py
"""
import copy

import numpy as np
import torch
import torch.nn.functional as F
from dpm_nb.gaussian import GaussianDiffusion
from dpm_nb.nets import UNet
from dpm_nb.schedule import linear
from dpm_nb.training import train
from rounds import ROUNDS, device, installed, rounds, row, show
from torch import nn
from torch.utils.data import DataLoader, Dataset

PICTURES, LR, FOREVER = 4096, 1e-4, 10**6


class Pictures(Dataset):
    "Grey pictures as both examples read them: each from a PIL image, at each visit."
    def __init__(self, x, key=None):
        from PIL import Image
        from torchvision import transforms
        self.key, self.pictures = key, [Image.fromarray(np.array(v[0])) for v in x]
        self.transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize([0.5], [0.5])])

    def __len__(self): return len(self.pictures)

    def __getitem__(self, i):
        x = self.transform(self.pictures[i])
        return x if self.key is None else {self.key: x}


def with_diffusers(net, x, batch):
    "The loop of diffusers' unconditional example, with its average of the weights."
    from accelerate import Accelerator
    from diffusers import DDPMScheduler
    from diffusers.optimization import get_scheduler
    from diffusers.training_utils import EMAModel
    from tqdm.auto import tqdm
    accelerator, noise = Accelerator(mixed_precision="no"), DDPMScheduler(num_train_timesteps=1000)
    ema = EMAModel(net.parameters(), decay=0.9999, use_ema_warmup=True, inv_gamma=1.0, power=0.75)
    ema.to(accelerator.device)
    optimizer = torch.optim.AdamW(net.parameters(), lr=LR, betas=(0.95, 0.999), weight_decay=1e-6, eps=1e-8)
    rate = get_scheduler("cosine", optimizer=optimizer, num_warmup_steps=500, num_training_steps=FOREVER)
    loader = DataLoader(Pictures(x, "input"), batch_size=batch, shuffle=True)
    net, optimizer, loader, rate = accelerator.prepare(net, optimizer, loader, rate)
    while True:
        net.train()
        bar = tqdm(total=len(loader))
        for k, visit in enumerate(loader):
            clean = visit["input"]
            eps = torch.randn(clean.shape, dtype=clean.dtype, device=clean.device)
            t = torch.randint(0, 1000, (len(clean),), device=clean.device)
            noisy = noise.add_noise(clean, eps, t)
            with accelerator.accumulate(net):
                loss = F.mse_loss(net(noisy, t), eps)
                accelerator.backward(loss)
                if accelerator.sync_gradients: accelerator.clip_grad_norm_(net.parameters(), 1.0)
                optimizer.step()
                rate.step()
                optimizer.zero_grad()
            if accelerator.sync_gradients:
                ema.step(net.parameters())
                bar.update(1)
            logs = {"loss": loss.detach().item(), "lr": rate.get_last_lr()[0], "step": k, "ema_decay": ema.cur_decay_value}
            bar.set_postfix(**logs)
            accelerator.log(logs, step=k)
            yield loss


def with_smalldiffusion(net, x, batch):
    "The loop of smalldiffusion's U-Net example, with the average that it takes from torch_ema."
    from smalldiffusion import ModelMixin, Scaled, ScheduleLogLinear, training_loop
    from torch_ema import ExponentialMovingAverage

    class Wrapped(nn.Module, ModelMixin):
        input_dims = 1, 28, 28
        def __init__(self):
            super().__init__()
            self.net = net
        def forward(self, x, sigma, cond=None): return self.net(x, sigma.flatten())

    model, schedule = Scaled(Wrapped)(), ScheduleLogLinear(sigma_min=0.01, sigma_max=20, N=800)
    loader = DataLoader(Pictures(x), batch_size=batch, shuffle=True)
    ema = ExponentialMovingAverage(model.parameters(), decay=0.999)
    for state in training_loop(loader, model, schedule, epochs=FOREVER, lr=LR):
        state.pbar.set_description(f"Loss={state.loss.item():.5}")
        ema.update()
        yield state.loss


def rows(short=False):
    found = []
    x = torch.randint(0, 256, (64 if short else PICTURES, 1, 28, 28), dtype=torch.uint8)
    for batch, steps in ((16, 12), (128, 2)):
        torch.manual_seed(0)
        batch, net = 4 if short else batch, UNet(1, widths=(32, 64)).to(device)
        d = GaussianDiffusion(linear(1000))
        loops = {"train": train(d, copy.deepcopy(net), x, steps=FOREVER, batch=batch, lr=LR, device=device)}
        if installed("diffusers"): loops["diffusers"] = with_diffusers(copy.deepcopy(net), x, batch)
        if installed("smalldiffusion"): loops["smalldiffusion"] = with_smalldiffusion(copy.deepcopy(net), x, batch)
        ways = {name: loop.__next__ for name, loop in loops.items()}
        taken = rounds(ways, 1 if short else ROUNDS, 1 if short else steps)
        found.append(row(f"training step of a U-Net, 28 × 28, batch {batch}", taken, ["diffusers", "smalldiffusion"], 1.3))
    return found


if __name__ == "__main__": show(rows())
