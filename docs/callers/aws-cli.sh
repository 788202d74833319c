#!/bin/sh
# aws-cli.sh METHOD PATH [BODY]: the AWS CLI assumes the role, curl makes the call.
set -eu
session=$(aws sts assume-role --role-arn "$EXECUTOR_ROLE_ARN" --external-id "$EXTERNAL_ID" --role-session-name "$SESSION_NAME" \
    --query 'Credentials.[AccessKeyId,SecretAccessKey,SessionToken]' --output text)
read -r key secret token <<END
$session
END
# Through standard input, so that no other user of the machine sees the credentials among the processes.
printf '%s\n' "user = \"$key:$secret\"" "header = \"X-Amz-Security-Token: $token\"" |
    curl --config - --silent --show-error --aws-sigv4 "aws:amz:$API_REGION:execute-api" \
        --request "$1" --header "Content-Type: application/json" --write-out '\n%{http_code}\n' ${3+--data-binary "$3"} "$API_URL$2"
