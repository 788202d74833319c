"""Call an IAM-authorized API Gateway API in another AWS account."""
