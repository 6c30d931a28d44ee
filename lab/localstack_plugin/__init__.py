"""What the lab adds to LocalStack inside its process: Lambda's execution environments, and DynamoDB's changes.

Loaded by LocalStack through the entry points of docker/region/pyproject.toml; nothing of the lab imports it.
"""
