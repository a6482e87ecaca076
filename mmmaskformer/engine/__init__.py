"""What the stock stack needs to run this package: dependencies, runners, registration."""

from .dependencies import check_dependencies

check_dependencies()
