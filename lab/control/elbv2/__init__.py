"""Elastic Load Balancing's control plane: Application Load Balancers of all regions."""
