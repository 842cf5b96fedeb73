"Everything here is read from settings.ini."
import shutil
from configparser import ConfigParser
from pathlib import Path

from packaging.version import Version
from setuptools import find_packages, setup
from setuptools.command.build_py import build_py

root = Path(__file__).parent
parser = ConfigParser(delimiters=["="], interpolation=None)
parser.read(root/"settings.ini", encoding="utf-8")
cfg = parser["DEFAULT"]

extra = {name: cfg[f"{name}_requirements"].split() for name in ("book", "lab", "long", "checkpoints", "dev", "bench")}
extra["book"] += extra["checkpoints"]       # a chapter opens a checkpoint
extra["lab"] += extra["book"]
extra["dev"] += extra["lab"] + extra["long"]
statuses = ["1 - Planning", "2 - Pre-Alpha", "3 - Alpha", "4 - Beta", "5 - Production/Stable"]
# The package index shows the README elsewhere, so there its pictures need their whole address.
raw = cfg["git_url"].replace("github.com", "raw.githubusercontent.com") + f"/{cfg['branch']}"
readme = (root/"README.md").read_text(encoding="utf-8").replace("](nbs/", f"]({raw}/nbs/")
first_minor = Version(cfg["min_python"]).minor


class Build(build_py):
    "The package with the chapters in it, which `dpm-nb lab` copies. An editable install finds them in nbs/."
    def run(self):
        super().run()
        if self.editable_mode: return
        for path in chapters:
            there = Path(self.build_lib)/cfg["lib_path"]/path.relative_to(root)
            self.mkpath(str(there.parent))
            shutil.copyfile(path, there)


chapters = [*sorted((root/cfg["nbs_path"]).glob("*.ipynb")), root/cfg["nbs_path"]/"matplotlibrc"]

setup(
    name=cfg["lib_name"],
    version=str(Version(cfg["version"])),
    description=cfg["description"],
    long_description=readme,
    long_description_content_type="text/markdown",
    keywords=cfg["keywords"],
    author=cfg["author"],
    author_email=cfg["author_email"],
    url=cfg["git_url"],
    project_urls={"Documentation": cfg["doc_host"]+cfg["doc_baseurl"]},
    license="Apache-2.0",
    classifiers=[
        f"Development Status :: {statuses[int(cfg['status'])-1]}",
        f"Intended Audience :: {cfg['audience']}",
        f"Natural Language :: {cfg['language']}",
        "Intended Audience :: Science/Research",
        "Framework :: Jupyter",
        "Topic :: Scientific/Engineering :: Artificial Intelligence",
    ] + [f"Programming Language :: Python :: 3.{minor}" for minor in range(first_minor, 15)],
    packages=find_packages(include=[cfg["lib_path"], cfg["lib_path"]+".*"]),
    python_requires=">="+cfg["min_python"],
    install_requires=cfg["requirements"].split(),
    extras_require=extra,
    # The site finds the page and the source of each symbol by this entry point.
    entry_points={"nbdev": ["dpm_nb = dpm_nb._modidx:d"], "console_scripts": cfg["console_scripts"].split()},
    package_data={cfg["lib_path"]: ["py.typed", "*.pyi"]},
    cmdclass={"build_py": Build},
    include_package_data=True,
    zip_safe=False,
)
