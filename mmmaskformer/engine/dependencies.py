"""What the package needs, in one place: `setup.py` and the check at import both read it."""

REQUIRED = {
    "torch": ">=2.1,<2.14",
    "mmengine": ">=0.10.4,<0.11",
    "mmsegmentation": ">=1.2.2,<1.3",
    "mmdet": ">=3.3,<3.4",
    "scipy": ">=1.8",
    "numpy": ">=1.22",
    "opencv-python": ">=4.5",
    # mmseg imports these two without requiring them.
    "ftfy": ">=6.0",
    "regex": ">=2021",
    # mmengine imports pkg_resources, which setuptools 81 dropped.
    "setuptools": ">=58,<81",
    "pillow": ">=8",
    "rich": ">=12",
    "matplotlib": ">=3.5",
    "packaging": ">=20",
}
MMCV = ">=2.0.0rc4,<2.2"
"""Either `mmcv` or `mmcv-lite` must be there in this range."""

H5PY = ">=3"
"""Only the annotations of COCO-Stuff-10K need it."""

ANY_OF = {"mmcv": ("mmcv-lite", "mmcv"), "opencv-python": ("opencv-python-headless",)}
"""Other distributions that provide the same thing; the first is what an error suggests."""
