"""What the client's errors advise, in the words of the templates: their parameters and outputs."""

from cross_account_api.advice import Advice

TEMPLATES: dict[str, str] = {
    Advice.UNDECIDED: (
        "STS did not say which side refused. Account B: compare the role's ARN with account A's output "
        "ExecutorRoleArn; allow {action} on exactly this role. "
        "Account A: check the trust policy's account, ExternalId, session name, principal and MFA."
    ),
    Advice.NOT_ALLOWED: (
        "ApiAccessPolicy of template-account-b.yaml does: attach it by ApiUserNames, by ApiRoleNames or in the "
        "permission set. Or the ARN is wrong: compare it with account A's output ExecutorRoleArn."
    ),
    Advice.LACKING: (
        "Account A: the executor role's policy lacks this method and path. "
        "Account B: or the URL is not account A's output ApiUrl."
    ),
    Advice.GUARDED: (
        "It does so while the consumer is suspended (SuspendedConsumerIds), and to roles that it does not know "
        "(MoreExecutorRoleIds); a private API, to requests outside its endpoints (VpcEndpointIds). "
        "Account B: call with a session of the executor role."
    ),
    Advice.OTHER_ROLE: "Account B: {principal} is not the executor role: assume account A's output ExecutorRoleArn.",
    Advice.OWN_ACCOUNT: ("Account B: unless {owner} is the API's account, assume account A's output ExecutorRoleArn."),
}
FUNCTION = TEMPLATES | {
    Advice.SLOW: (
        "Account B: if the API needs longer, allow it: ApiTimeout of the stack. "
        "Account A: check that the API exists, and what takes it so long."
    ),
    Advice.NO_TIME: "Account B: allow more time (of a batch: make it smaller), if this happens often.",
}
