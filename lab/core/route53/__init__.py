"""Route 53's data plane as plain functions: which record answers a question, for whom, and why.

Sockets, packets on the wire and the health of endpoints are other parts' work.
"""
