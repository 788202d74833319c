"""The products API's backend."""
