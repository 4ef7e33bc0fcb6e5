"""Packaging of mindscience_diffuser."""

from pathlib import Path

from setuptools import find_packages, setup

RUNS = ["scikit-learn>=1.2", "matplotlib>=3.7", "pillow>=9.0", "pydantic>=2.0,<3"]
FIELDS = ["xarray>=2023.1", "netCDF4>=1.6", "zarr>=2.13"]
SPHERE = ["ducc0>=0.30"]
TESTS = [
    "pytest>=7.0",
    "pytest-xdist>=3.8",
    "ruff>=0.6",
    "pyright[nodejs]>=1.1.414",
    "iris-sample-data>=2.5",
    *RUNS,
    *FIELDS,
    *SPHERE,
]

setup(
    name="mindscience_diffuser",
    version="0.1.0",
    description="Diffusion schedulers and samplers for MindSpore that compile into the graph",
    long_description=Path(__file__).with_name("README_CN.md").read_text(encoding="utf-8"),
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    python_requires=">=3.9,<3.13",
    packages=find_packages(include=["mindscience_diffuser", "mindscience_diffuser.*"]),
    package_data={
        "": ["*.pyi"],
        "mindscience_diffuser": ["py.typed", "compat/api.json", "examples/*/weights/*", "noise/*.json"],
    },
    install_requires=["mindspore>=2.7,<2.11", "numpy<2", "pyyaml>=6.0", "safetensors>=0.4", "scipy>=1.9", "tqdm>=4.60"],
    extras_require={"runs": RUNS, "fields": FIELDS, "sphere": SPHERE, "tests": TESTS},
)
