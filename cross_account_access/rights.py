"""What a function, schedule or policy may do with what it refers to."""

from dataclasses import dataclass

# Allowed uses of a resource that a function or schedule refers to: actions, suffixes of its ARN, and whether the
# reference would be pointless without them.
type Rights = tuple[tuple[tuple[str, ...], tuple[str, ...], bool], ...]
_ITEMS = ("GetItem", "BatchGetItem", "PutItem", "UpdateItem", "DeleteItem", "BatchWriteItem", "ConditionCheckItem")
RIGHTS: dict[str, Rights] = {
    "AWS::ApiGateway::Method": ((("execute-api:Invoke",), ("",), True),),
    "AWS::DynamoDB::Table": (
        # On an index only Query and Scan mean anything; SAM's policy templates name it for all.
        (tuple(f"dynamodb:{action}" for action in _ITEMS), ("", "/index/*"), False),
        (("dynamodb:Query", "dynamodb:Scan", "dynamodb:DescribeTable"), ("", "/index/*"), False),
    ),
    "AWS::IAM::Role": (
        (("sts:AssumeRole",), ("",), True),
        (("sts:TagSession", "sts:SetSourceIdentity"), ("",), False),
    ),
    "AWS::KMS::Key": ((("kms:Decrypt", "kms:Encrypt", "kms:GenerateDataKey*"), ("",), False),),
    "AWS::Lambda::Function": ((("lambda:InvokeFunction",), ("",), True),),
    "AWS::Logs::LogGroup": ((("logs:CreateLogStream", "logs:PutLogEvents"), ("",), True),),
    "AWS::S3::Bucket": (
        (("s3:GetObject", "s3:PutObject", "s3:DeleteObject"), ("/*",), False),
        (("s3:ListBucket",), ("",), False),
    ),
    "AWS::SNS::Topic": ((("sns:Publish",), ("",), True),),
    "AWS::SQS::Queue": (
        (("sqs:SendMessage",), ("",), True),
        (("sqs:GetQueueUrl", "sqs:GetQueueAttributes"), ("",), False),
    ),
    "AWS::SecretsManager::Secret": ((("secretsmanager:GetSecretValue",), ("",), True),),
    "AWS::StepFunctions::StateMachine": ((("states:StartExecution",), ("",), True),),
    "AWS::XRay": (
        (("xray:PutTraceSegments", "xray:PutTelemetryRecords"), ("",), True),
        (("xray:GetSamplingRules", "xray:GetSamplingTargets", "xray:GetSamplingStatisticSummaries"), ("",), False),
    ),
}
# What Lambda does with a function's role, for any resource: https://docs.aws.amazon.com/lambda/latest/dg/configuration-vpc.html
INTERFACES = (
    *(f"ec2:{verb}" for verb in ("AssignPrivateIpAddresses", "UnassignPrivateIpAddresses", "DescribeSubnets")),
    *(f"ec2:{verb}NetworkInterface" for verb in ("Create", "Delete")),
    "ec2:DescribeNetworkInterfaces",
)
# https://docs.aws.amazon.com/lambda/latest/dg/services-sqs-configure.html
READ_RIGHTS: dict[str, Rights] = {
    "AWS::SQS::Queue": (
        (("sqs:ReceiveMessage", "sqs:DeleteMessage", "sqs:GetQueueAttributes"), ("",), True),
        (("sqs:ChangeMessageVisibility",), ("",), False),
    ),
}


@dataclass(frozen=True)
class Governed:
    """A type of resource with a policy of its own."""

    actions: str  # all on the resource
    with_tls: tuple[str, ...]  # actions that need TLS
    by_services: tuple[str, ...]  # actions that services may perform on behalf of its account
    below: str = ""  # what may follow its ARN


GOVERNED = {
    "AWS::KMS::Key": Governed("kms:*", (), ("kms:decrypt", "kms:generatedatakey*")),
    "AWS::S3::Bucket": Governed("s3:*", ("s3:*",), ("s3:putobject",), "/*"),
    "AWS::SNS::Topic": Governed("sns:*", ("sns:publish",), ("sns:publish",)),
    "AWS::SQS::Queue": Governed("sqs:*", ("sqs:*",), ("sqs:sendmessage",)),
}
# Services for which AWS documents no `aws:SourceAccount` when they assume a role.
SOURCELESS = {"lambda.amazonaws.com", "apigateway.amazonaws.com"}
