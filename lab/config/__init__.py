"""The configuration: `lab.toml` or the defaults, validated whole, as frozen values."""
