"""Seconds that an import takes beyond torch's own, each in a fresh process.

    python bench/imports.py
"""
import subprocess
import sys

from rounds import ROUNDS, installed, row, show

WANTED = {                                                      # what one program needs that trains and samples
    "dpm-nb": "from dpm_nb.gaussian import GaussianDiffusion; from dpm_nb.nets import UNet; "
              "from dpm_nb.engine import fit; from dpm_nb.sampling import sample",
    "diffusers": "from diffusers import DDPMPipeline, DDPMScheduler, UNet2DModel",
    "smalldiffusion": "from smalldiffusion import ScheduleDDPM, Unet, samples, training_loop",
    "denoising-diffusion-pytorch": "from denoising_diffusion_pytorch import GaussianDiffusion, Trainer, Unet",
}
TIMED = "import time, torch; start = time.perf_counter(); {}; print(time.perf_counter() - start)"


def alone(code):
    done = subprocess.run([sys.executable, "-c", TIMED.format(code)], check=True, capture_output=True, text=True)
    return float(done.stdout.split()[-1])


def rows(short=False):
    codes = {name: code for name, code in WANTED.items() if installed(name)}
    taken = {name: [] for name in codes}
    for k in range(1 if short else ROUNDS+1):                   # the first round fills the disk's cache
        for name, code in codes.items(): taken[name] += [alone(code)]*(short or k > 0)
    return [row("import of sampling and training, beyond torch's own", taken, limit=0.05)]


if __name__ == "__main__": show(rows())
