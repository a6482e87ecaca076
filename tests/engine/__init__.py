"""What the stock stack needs to run this package: dependencies, runners, registration."""
