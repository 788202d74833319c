"""What people need beside the call: a profile for it, and what is wrong when it fails. No part of the function."""
