"Pictures look right wherever they are drawn: in a folder without this project's style file."
import sys

import matplotlib
import pytest
import torch
from conftest import run

matplotlib.use("Agg")

CODE = """
import matplotlib
import matplotlib.pyplot as plt
import torch
from dpm_nb.data import ring, show_density
from dpm_nb.show import animate, show_images, show_points, tile

assert matplotlib.rcParams["image.cmap"] == "viridis", matplotlib.matplotlib_fname()
x = (torch.rand(7, 1, 8, 8, generator=torch.Generator().manual_seed(0)) < .5)*255
x = x.to(torch.uint8)
for ax in (None, plt.subplots()[1]):
    image = show_images(x, 4, "seven", ax).images[0]
    print(image.get_cmap().name, image.get_interpolation(), image.get_clim())
    image.figure.canvas.draw()
    canvas = torch.frombuffer(bytearray(image.figure.canvas.buffer_rgba()), dtype=torch.uint8)
    left, low, right, high = (round(v) for v in image.get_window_extent().extents)
    seen = canvas.reshape(*image.figure.canvas.get_width_height()[::-1], 4).flip(0)[low+1:high-1, left+1:right-1, :3]
    assert torch.equal(seen.unique(), torch.tensor([0, 255], dtype=torch.uint8)), seen.unique()
    assert torch.equal(torch.from_numpy(image.get_array().data).squeeze(), tile(x, 4).squeeze())
for ax in (show_images(x), show_points(torch.rand(5, 2)), show_density(ring())):
    assert ax.figure.get_constrained_layout()
assert show_density(ring()).collections[0].get_cmap().name == "GnBu"
assert "data:image/png" in animate(lambda k, fig: show_images(x, ax=fig.subplots()), range(2)).data
"""


def test_pictures_need_no_style_file(tmp_path):
    found = run(sys.executable, "-W", "error", "-c", CODE, cwd=tmp_path, MPLBACKEND="agg", MPLCONFIGDIR=str(tmp_path), MATPLOTLIBRC="")
    assert found.splitlines() == 2*["gray nearest (0.0, 255.0)"], found


@pytest.mark.parametrize("channels", [1, 3])
def test_bytes_and_reals_are_the_same_picture(channels):
    from dpm_nb.core import to_real
    from dpm_nb.show import tile
    x = torch.arange(2*channels*16, dtype=torch.uint8).reshape(2, channels, 4, 4)
    assert torch.equal(tile(to_real(x)), tile(x)) and torch.equal(tile(to_real(x).double().requires_grad_()), tile(x))


def test_film_has_the_size_that_was_asked_for():
    "Also where the style file asks for another."
    import base64
    import re

    from dpm_nb.show import animate
    for own in (100, "figure"):
        with matplotlib.rc_context({"savefig.dpi": own}):
            film = animate(lambda k, fig: fig.subplots(), [1, 2, 3], size=(2, 1), dpi=40)
            assert matplotlib.rcParams["savefig.dpi"] == own
        frames = re.findall(r"frames\[\d\] = \"data:image/png;base64,([\w/+=\\\n]+)", film.data)
        heads = [base64.b64decode(png.replace("\\\n", "")[:40])[16:24] for png in frames]
        assert [(int.from_bytes(h[:4], "big"), int.from_bytes(h[4:], "big")) for h in heads] == 3*[(80, 40)]


def test_title_of_the_caller_stays():
    from dpm_nb.data import ring, show_density
    from dpm_nb.show import show_images, show_points
    for show, x in ((show_points, torch.zeros(3, 2)), (show_images, torch.zeros(3, 1, 4, 4)), (show_density, ring())):
        ax = matplotlib.figure.Figure().add_subplot(title="mine")
        assert show(x, ax=ax).get_title() == "mine" and show(x, ax=ax, title="new").get_title() == "new"


def test_package_does_without_altair(tmp_path):
    code = """
import sys
sys.modules |= dict.fromkeys(["altair", "vl_convert"])
import torch
from dpm_nb.show import living, tile
assert tile(torch.zeros(1, 1, 2, 2)).shape == (2, 2, 1)
try: living(None, "nothing")
except ImportError as e: print(e)
"""
    assert run(sys.executable, "-c", code, cwd=tmp_path) == 'living figures need altair: pip install "dpm-nb[lab]"\n'
