"""The lab: both accounts on a laptop, without any AWS account."""
