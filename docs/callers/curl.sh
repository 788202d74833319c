#!/bin/sh
# curl.sh METHOD PATH [BODY]: curl assumes the role and makes the call.
set -eu
signed() {  # signed SERVICE REGION ARGUMENT…: curl, with the credentials in key, secret and token
    service=$1 region=$2
    shift 2
    printf '%s\n' "user = \"$key:$secret\"" ${token:+"header = \"X-Amz-Security-Token: $token\""} |
        curl --config - --silent --show-error --aws-sigv4 "aws:amz:$region:$service" "$@"
}
key=$AWS_ACCESS_KEY_ID secret=$AWS_SECRET_ACCESS_KEY token=${AWS_SESSION_TOKEN:-}
session=$(signed sts "$AWS_REGION" --fail "${AWS_ENDPOINT_URL_STS:-https://sts.$AWS_REGION.amazonaws.com/}" \
    --data "Action=AssumeRole&Version=2011-06-15&DurationSeconds=3600&RoleArn=$EXECUTOR_ROLE_ARN" \
    --data "ExternalId=$EXTERNAL_ID&RoleSessionName=$SESSION_NAME" | tr -d '\n')
field() { printf '%s' "$session" | sed "s/.*<$1>\([^<]*\)<.*/\1/"; }
key=$(field AccessKeyId) secret=$(field SecretAccessKey) token=$(field SessionToken)
signed execute-api "$API_REGION" --request "$1" --header "Content-Type: application/json" --write-out '\n%{http_code}\n' \
    ${3+--data-binary "$3"} "$API_URL$2"
