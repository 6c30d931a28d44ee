"""The supervisor: starts, watches, restarts and stops the processes of one instance; what they do is theirs."""
