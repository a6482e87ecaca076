"""Files, text, png ids and processes: what every room may use."""
