"""Files, text and png ids: what every room may use."""
