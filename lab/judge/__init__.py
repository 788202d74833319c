"""Account A as a client sees it: STS and API Gateway on loopback, and a verifier of signatures."""
