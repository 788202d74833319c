# The commands of the checklist in docs/deploy.md, for bash and zsh: `. docs/checklist.sh`, then `step_1` and so on.
# shellcheck shell=bash
: "${ACCOUNT_B:?the id of account B}" "${EXTERNAL_ID:?the external id}"
export AWS_REGION="${AWS_REGION:-eu-west-1}"
export AWS_DEFAULT_REGION="$AWS_REGION" # some tools read only this one

out() { aws cloudformation describe-stacks --profile "$1" --stack-name "$2" --query "Stacks[0].Outputs[?OutputKey=='$3'].OutputValue" --output text; }
id() { aws cloudformation describe-stack-resource --profile "$1" --stack-name "$2" --logical-resource-id "$3" --query StackResourceDetail.PhysicalResourceId --output text; }
api_url() { out account-a orders-api ApiUrl; }
role_arn() { out account-a orders-api ExecutorRoleArn; }

# step_1 [SetApiGatewayLogsRole=true]
step_1() { make deploy-a ARGS="--parameter-overrides ConsumerAccountIds=$ACCOUNT_B ExternalId=$EXTERNAL_ID $*"; }

step_2() {
    curl -s "$(api_url)/whoami"
    aws logs tail --profile account-a "$(id account-a orders-api AccessLogGroup)" --since 10m
}

# deploy_b [--mfa-serial ARN]: account B's stack, and the profile `orders`
deploy_b() {
    make deploy-b ARGS="--parameter-overrides ApiUrl=$(api_url) ExecutorRoleArn=$(role_arn) ExternalId=$EXTERNAL_ID CallPath=/whoami"
    call-api configure --profile orders --source-profile account-b --role-arn "$(role_arn)" --external-id "$EXTERNAL_ID" \
        --api-url "$(api_url)" --api-path /whoami --yes "$@"
}

smoke_test() { ACCOUNT_B_PROFILE=account-b python -m pytest tests/lab/deployed; }

step_3() {
    call-api DELETE /orders/x --profile orders
    call-api /whoami --profile account-a --api-url "$(api_url)"
    aws logs tail --profile account-a "$(id account-a orders-api AccessLogGroup)" --since 10m
}

step_4() {
    (
        # shellcheck disable=SC2046 # one assignment a line
        export $(aws configure export-credentials --profile orders --format env-no-export)
        AWS_SECRET_ACCESS_KEY=wrong call-api /whoami --api-url "$(api_url)"
    )
    aws logs filter-log-events --profile account-a --log-group-name "$(id account-a orders-api AccessLogGroup)" --filter-pattern '"x-amz-security-token"'
}

# step_5 [--serial-number ARN --token-code CODE]
step_5() {
    for account in "$ACCOUNT_B" 333333333333; do
        aws sts assume-role --profile account-b --role-arn "$(role_arn)" --external-id "$EXTERNAL_ID" --role-session-name "$account-x" "$@"
    done
}

# step_6 invoke; step_6 look; step_6 invoke-and-send; step_6 undo
step_6() {
    role=$(id account-b orders-caller ScheduleRole)
    case $1 in
    invoke) actions='"lambda:InvokeFunction"' ;;
    invoke-and-send) actions='"lambda:InvokeFunction", "sqs:SendMessage"' ;;
    look)
        aws sqs receive-message --profile account-b --queue-url "$(out account-b orders-caller FailedCallQueueUrl)" --message-attribute-names All
        return
        ;;
    undo)
        aws iam delete-role-policy --profile account-b --role-name "$role" --policy-name Deny
        return
        ;;
    esac
    aws iam put-role-policy --profile account-b --role-name "$role" --policy-name Deny --policy-document \
        "{\"Version\": \"2012-10-17\", \"Statement\": [{\"Effect\": \"Deny\", \"Action\": [$actions], \"Resource\": \"*\"}]}"
}

step_7() {
    aws lambda invoke --profile account-b --invocation-type Event --function-name "$(out account-b orders-caller CallerFunctionName)" \
        --cli-binary-format raw-in-base64-out --payload '{"method":"DELETE","path":"/orders/x"}' /dev/null
    echo "wait for it in FailedCallQueue (step_6 look), then run: $(out account-b orders-caller ReplayCommand) --profile account-b"
    echo "and: aws sqs list-message-move-tasks --profile account-b --source-arn $(out account-b orders-caller FailedCallQueueArn)"
}

step_8() {
    for side in "account-a orders-api-" "account-b orders-caller-"; do
        aws cloudwatch describe-alarms --profile "${side% *}" --alarm-name-prefix "${side#* }" --query 'MetricAlarms[].AlarmName' --output text |
            tr '\t' '\n' |
            xargs -I{} aws cloudwatch set-alarm-state --profile "${side% *}" --alarm-name {} --state-value ALARM --state-reason "first deployment"
    done
}

# throttle signed|unsigned SECONDS PATH…
throttle() { python tests/lab/deployed/throttle.py "$(api_url)" "$@"; }
step_9() {
    throttle signed 60 /whoami
    throttle signed 60 /whoami /orders
    throttle unsigned 60 /whoami &
    throttle signed 60 /whoami
    wait
}

step_10() { call-api "/orders/a b%ü" --profile orders; }

step_12() {
    make deploy-a ARGS="--stack-name orders-tls --parameter-overrides ConsumerAccountIds=$ACCOUNT_B ExternalId=$EXTERNAL_ID"
    make deploy-a ARGS='--stack-name orders-tls --parameter-overrides SuspendedConsumerIds=333333333333'
}
