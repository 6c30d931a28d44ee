"""Deployment: carries a plan out through the AWS APIs of the regions' own endpoints, with boto3, idempotently.

It holds nothing that would not work against AWS but the endpoints and the credentials in `lab.deploy.clients`.
"""
