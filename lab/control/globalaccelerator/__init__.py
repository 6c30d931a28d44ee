"""Global Accelerator's control plane: standard accelerators."""
