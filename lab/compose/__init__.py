"""The lab in containers: the topology that docker-compose.yml means, what each container runs, and the host's side."""
