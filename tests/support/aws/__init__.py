"""Proof of the signature: an independent verifier judges what the caller really sends."""
